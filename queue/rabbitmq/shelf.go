package rabbitmq

import (
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ladder"
	"github.com/signpost-go/signpost/internal/wire"
)

const (
	refusedAgain = 10 * time.Second // until a message is moved again that the broker has refused
	countAgain   = 100 * time.Millisecond
	comeBack     = 200 // messages a second, of those for one host that were sent away during a hold
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
		q.logger.Error("rabbitmq: message can't be published onward", "id", m.ID, "endpoint", e.endpoint, "err", err)
	}
	q.send(e, q.target(at, time.Now()), msg)
}

// send has e published onward. It requires that mu is held.
func (q *Queue) send(e *entry, queue string, msg amqp.Publishing) {
	e.state = moving
	q.publisher.submit(&publication{queue: queue, msg: msg, then: func(err error) { q.sent(e, queue, msg, err) }})
}

// sent is told what has become of an entry that was published onward.
func (q *Queue) sent(e *entry, queue string, msg amqp.Publishing, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
	case err == nil:
		q.finish(e)
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
	q.counted = time.Time{}
	q.shed(now)
	q.tell()
}

// heldLimit is how many messages may be held here. It requires that mu is held.
func (q *Queue) heldLimit() int { return max(1, (q.prefetch-q.leases)/2) }

// heldIsMany reports whether as many are held here as may be. It requires that mu is held.
func (q *Queue) heldIsMany(now time.Time) bool {
	if q.shelf.Len() < q.heldLimit() {
		return false
	}
	q.countHeld(now)
	return q.heldHere >= q.heldLimit()
}

// countHeld counts what is held here, unless that is known. It requires that mu is held.
func (q *Queue) countHeld(now time.Time) {
	if now.Sub(q.counted) < countAgain {
		return
	}
	q.counted, q.heldHere = now, 0
	for e := range q.shelf.All {
		if !q.shelf.HeldUntil(e.host, e.endpoint, now).IsZero() {
			q.heldHere++
		}
	}
}

// shed sends away what is held here beyond the limit. It requires that mu is held.
func (q *Queue) shed(now time.Time) {
	limit := q.heldLimit()
	if !q.heldIsMany(now) || q.heldHere <= limit+limit/8 { // it looks at everything: not for a few
		return
	}
	kept := 0
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
	q.heldHere = min(kept, limit)
	for _, e := range away {
		q.sendAway(e, q.shelf.HeldUntil(e.host, e.endpoint, now), now)
	}
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
	for _, e := range kept {
		q.shelf.Push(e, e.host, e.endpoint, e.due)
	}
}

// An away counts what was sent away for a host until the end of a hold.
type away struct {
	until time.Time
	n     int
}

// sendAway has e wait at the broker until a hold is over, and somewhat longer the more there are. It requires that mu is held.
func (q *Queue) sendAway(e *entry, until, now time.Time) {
	a := q.away[e.host]
	if !a.until.Equal(until) {
		a = away{until: until}
	}
	a.n++
	q.away[e.host] = a
	if len(q.away) > 2*q.awaySweep {
		for host, a := range q.away {
			if !a.until.After(now) {
				delete(q.away, host)
			}
		}
		q.awaySweep = len(q.away) + 64
	}
	at := until.Add(time.Duration(a.n) * time.Second / comeBack)
	if at.Sub(now) < q.steps[0] { // it would come back at once
		at = now.Add(q.steps[0])
	}
	q.move(e, e.message, at)
}
