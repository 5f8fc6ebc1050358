package rabbitmq

import (
	"errors"
	"maps"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ladder"
	"github.com/signpost-go/signpost/internal/wire"
)

const (
	refusedAgain = 10 * time.Second // until a message is moved again that the broker has refused
	comeBack     = 200              // messages a second, of those for one host that were sent away during a hold
)

// step returns the queue in which a message waits so long, and false if that is so short that it waits here.
func (q *Queue) step(wait time.Duration) (queue string, ok bool) {
	i, ok := ladder.Step(q.steps, wait)
	if !ok {
		return "", false
	}
	return q.delay(q.steps[i]), true
}

// target returns the queue that a message goes to that may be tried at the given time.
func (q *Queue) target(at, now time.Time) string {
	if queue, ok := q.step(at.Sub(now)); ok {
		return queue
	}
	return q.ready()
}

// move has e published onward, as m, to be tried at the given time. It requires that mu is held.
func (q *Queue) move(e *entry, m *signpost.Message, at time.Time) {
	msg, err := publishing(m, wire.Encode(m, at), q.copies.next())
	if err != nil { // it has come, so it could be published
		q.bury(e, &amqp.Delivery{Headers: amqp.Table{wire.URL: m.URL}, Body: m.Payload}, err)
		return
	}
	q.send(e, q.target(at, time.Now()), msg)
}

// send has e published onward. It requires that mu is held.
func (q *Queue) send(e *entry, queue string, msg amqp.Publishing) {
	e.state = moving
	q.publisher.submit(&publication{
		queue: queue, msg: msg, late: true, then: func(err error) { q.sent(e, queue, msg, err) },
	})
}

// sent is told what has become of an entry that was published onward.
func (q *Queue) sent(e *entry, queue string, msg amqp.Publishing, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
	case err == nil:
		q.finish(e, nil)
	case errors.Is(err, errTooLarge) && len(msg.Headers) > 3:
		// Its headers have just fitted when it came, and don't with what is added to them: all that is left is the reason.
		q.logger.Error("rabbitmq: message can't be published onward, it is dead without its headers",
			"id", msg.MessageId, "endpoint", e.endpoint, "queue", q.dead(), "err", err)
		bare := amqp.Delivery{Body: msg.Body, MessageId: msg.MessageId, Timestamp: msg.Timestamp}
		q.send(e, q.dead(), buried(&bare, err, time.Now(), q.copies.next()))
	default:
		q.logger.Error("rabbitmq: message can't be published onward, will try again",
			"id", msg.MessageId, "endpoint", e.endpoint, "queue", queue, "err", err)
		time.AfterFunc(refusedAgain, func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			if !q.closed && e.state == moving {
				q.send(e, queue, msg)
			}
		})
	}
}

// bury has what can't be parsed put to the dead letters. It requires that mu is held.
func (q *Queue) bury(e *entry, d *amqp.Delivery, why error) {
	q.logger.Error("rabbitmq: message can't be parsed, it is dead", "message-id", d.MessageId, "queue", q.dead(), "err", why)
	q.send(e, q.dead(), buried(d, why, time.Now(), q.copies.next()))
}

// name gives a message what it lacks, and has it published under that before anybody gets it, so that it has the same ID
// whenever it comes. It requires that mu is held.
func (q *Queue) name(e *entry) {
	m := *e.message
	if m.ID == "" {
		m.ID = "msg_" + rand128()
	}
	if m.CreatedAt.IsZero() {
		m.CreatedAt = time.Now()
	}
	q.move(e, &m, e.due)
}

// Hold implements [signpost.HoldingQueue]. What is held stays with this instance, up to half of what it has room for; the rest
// goes to the delay queues until the hold is over, and then comes back little by little, so that what goes to others isn't
// kept up.
func (q *Queue) Hold(key string, until time.Time) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.shelf.Hold(key, until, now)
	q.shed(now)
	q.tell()
}

// heldLimit is how many messages may be held here. It requires that mu is held.
func (q *Queue) heldLimit() int { return max(1, (q.prefetch-q.leases)/2) }

// heldIsMany reports whether as many are held here as may be. It requires that mu is held.
func (q *Queue) heldIsMany(now time.Time) bool { return q.heldHere(now) >= q.heldLimit() }

// heldHere is how many messages are held here, if they may be many. It requires that mu is held.
func (q *Queue) heldHere(now time.Time) int {
	n := 0
	if q.shelf.Len() < q.heldLimit() {
		return 0
	}
	for endpoint, p := range q.piles {
		if !q.shelf.HeldUntil(p.host, endpoint, now).IsZero() {
			n += p.n
		}
	}
	return n
}

// shed sends away what is held here beyond the limit, if it is more than a little. It requires that mu is held.
func (q *Queue) shed(now time.Time) {
	kept, limit := 0, q.heldLimit()
	if q.heldHere(now) <= limit+limit/8 {
		return
	}
	var away []*entry
	q.restock(func(e *entry) bool {
		if q.shelf.HeldUntil(e.host, e.endpoint, now).IsZero() {
			return true
		}
		if kept++; kept > limit {
			away = append(away, e)
		}
		return kept <= limit
	})
	for _, e := range away {
		q.sendAway(e, q.shelf.HeldUntil(e.host, e.endpoint, now), now)
	}
}

// A pile is what waits here for an endpoint.
type pile struct {
	host string
	n    int
}

// put has e wait here. It requires that mu is held.
func (q *Queue) put(e *entry) {
	q.shelf.Push(e, e.host, e.endpoint, e.due)
	p := q.piles[e.endpoint]
	if p == nil {
		p = &pile{host: e.host}
		q.piles[e.endpoint] = p
	}
	p.n++
}

// take takes out what comes first. It requires that mu is held, and that there is something.
func (q *Queue) take() *entry {
	e := q.shelf.Pop()
	p := q.piles[e.endpoint]
	if p.n--; p.n == 0 {
		delete(q.piles, e.endpoint)
	}
	return e
}

// restock keeps only some of what is here. It requires that mu is held.
func (q *Queue) restock(keep func(*entry) bool) {
	var kept []*entry
	for e := range q.shelf.All {
		if keep(e) {
			kept = append(kept, e)
		}
	}
	q.shelf.Clear()
	clear(q.piles)
	for _, e := range kept {
		q.put(e)
	}
}

// sendAway has e wait at the broker until a hold is over or later: of those for one host so many come back a second, whatever
// becomes of the hold meanwhile. It requires that mu is held.
func (q *Queue) sendAway(e *entry, until, now time.Time) {
	at := q.away[e.host] // when the one before comes back
	if until.After(at) {
		at = until
	}
	at = at.Add(time.Second / comeBack)
	q.away[e.host] = at
	if len(q.away) > 2*q.awaySweep {
		maps.DeleteFunc(q.away, func(_ string, at time.Time) bool { return !at.After(now) })
		q.awaySweep = len(q.away) + 64
	}
	q.move(e, e.message, now.Add(q.coarse(at.Sub(now))))
}

// coarse rounds a wait up to one that takes few steps. To be there on the second, thousands of messages would hop every second.
func (q *Queue) coarse(wait time.Duration) time.Duration {
	const hops = 3
	for _, d := range q.steps {
		if n := (wait + d - 1) / d; n <= hops {
			return max(1, n) * d
		}
	}
	return wait
}
