package rabbitmq

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost"
)

// An entry is a message that is here: the broker has delivered it, and was not told yet that it has ended or was published
// onward. Queue.mu protects its fields but message, host and endpoint, which stay as they are.
type entry struct {
	message        *signpost.Message // nil: it can't be parsed
	host, endpoint string
	due            time.Time

	state      state
	copy       string     // its name at the broker; "": somebody else has published it
	deliveries []delivery // those not acknowledged; more than one if it came again
	alone      time.Time  // since when there was none
	renewing   bool

	job *settlement // of the Settle that was begun last
	end *settlement // the one that has ended the lease
}

type state uint8

const (
	shelved state = iota // it waits here
	leased
	moving // it is being published onward
	ended  // it was published onward, or has ended
	gone   // it is not here any more, and comes again to whomever
)

// A delivery is the right to acknowledge a message.
type delivery struct {
	consumer *consumer
	tag      uint64
	at       time.Time
}

// recent are names of publications that have ended here. The broker may deliver them again, if it didn't get the ack; then they
// are acknowledged again. They are remembered for one to two generations.
type recent struct{ young, old map[string]struct{} }

func newRecent() recent { return recent{young: map[string]struct{}{}, old: map[string]struct{}{}} }

func (r *recent) add(name string) { r.young[name] = struct{}{} }

func (r *recent) has(name string) bool {
	if _, ok := r.young[name]; ok {
		return true
	}
	_, ok := r.old[name]
	return ok
}

// age begins a generation.
func (r *recent) age() { r.old, r.young = r.young, map[string]struct{}{} }

// arrive takes what was delivered.
func (q *Queue) arrive(c *consumer, d *amqp.Delivery) {
	now := time.Now()
	from := delivery{consumer: c, tag: d.DeliveryTag, at: now}
	name := copyOf(d.Headers)
	m, notBefore, err := parse(d)
	e := &entry{message: m, due: notBefore, deliveries: []delivery{from}}
	if err == nil {
		e.host, e.endpoint = m.Host(), m.Endpoint()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return // it goes back with its channel
	}
	if name != "" {
		if q.recent.has(name) {
			c.ack(d.DeliveryTag, nil)
			return
		}
		if known := q.known[name]; known != nil {
			known.deliveries = append(known.deliveries, from)
			q.tell()
			return
		}
		e.copy = name
		q.known[name] = e
	}
	q.here[e] = struct{}{}
	switch {
	case err != nil:
		q.bury(e, d, err)
	case m.ID == "" || m.CreatedAt.IsZero():
		q.name(e)
	default:
		q.place(e, now)
	}
}

// place finds out where a message waits: here, or at the broker. It requires that mu is held.
func (q *Queue) place(e *entry, now time.Time) {
	if _, far := q.step(e.due.Sub(now)); far {
		q.move(e, e.message, e.due)
		return
	}
	if until := q.shelf.HeldUntil(e.host, e.endpoint, now); !until.IsZero() {
		if q.heldIsMany(now) {
			q.sendAway(e, until, now)
			return
		}
	}
	e.state = shelved
	q.put(e)
	q.tell()
}

// finish ends an entry: what has become of it is at the broker. then may be nil; it is called, with mu held, when the acks are
// written, or can't be: a message that comes again nevertheless is known. It requires that mu is held.
func (q *Queue) finish(e *entry, then func()) {
	e.state = ended
	q.forget(e)
	if e.copy != "" {
		q.recent.add(e.copy)
	}
	left := 0
	written := func(error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if left--; left == 0 && then != nil {
			then()
		}
	}
	for _, d := range e.deliveries {
		if d.consumer.ack(d.tag, written) {
			left++
		}
	}
	e.deliveries = nil
	if left == 0 && then != nil {
		then()
	}
}

// forget requires that mu is held.
func (q *Queue) forget(e *entry) {
	delete(q.here, e)
	if e.copy != "" {
		delete(q.known, e.copy)
	}
}

// channelGone puts right what came on a channel that has ended. The broker delivers it again, here or elsewhere. What is here
// and leased, or being published, stays: if it comes again it is known by name.
func (q *Queue) channelGone(c *consumer) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.taking, c)
	any := false
	for e := range q.here {
		n := 0
		for _, d := range e.deliveries {
			if d.consumer != c {
				e.deliveries[n] = d
				n++
			}
		}
		if n == len(e.deliveries) {
			continue
		}
		clear(e.deliveries[n:])
		e.deliveries = e.deliveries[:n]
		if n > 0 {
			continue
		}
		e.alone = now
		switch {
		case e.state == shelved:
			e.state, any = gone, true
			q.forget(e)
		case e.state == leased && e.copy == "":
			q.lose(e)
		}
	}
	if any {
		q.restock(func(e *entry) bool { return e.state == shelved })
	}
	q.tell()
}

// lose ends a lease without an outcome. It requires that mu is held.
func (q *Queue) lose(e *entry) {
	e.state = gone
	q.leases--
	q.forget(e)
}
