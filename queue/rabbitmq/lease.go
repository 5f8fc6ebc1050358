package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/wire"
)

// A lease is a message given to somebody.
type lease struct {
	queue *Queue
	entry *entry
}

// A settlement is what one Settle wants. Queue.mu protects err and unheard until done is closed.
type settlement struct {
	outcome signpost.Outcome
	done    chan struct{}
	err     error
	again   bool // the channel was closed before the ack was written
	unheard bool // the caller has left before it was done
}

// Message implements [signpost.Lease].
func (l *lease) Message() *signpost.Message { return l.entry.message }

// Lost implements [signpost.RevocableLease]: others have the message, or the queue is closed.
func (l *lease) Lost() bool {
	q := l.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return l.entry.end == nil && (q.closed || l.entry.state == gone)
}

// Settle implements [signpost.Lease]. What comes back, and what is dead, is published and confirmed before the broker is told
// to forget the message as it was; of a delivered one it is told that alone, which it doesn't confirm. While the connection is
// lost Settle waits for it. The broker then delivers the message again: if to this instance the lease goes on, and otherwise
// Settle returns [signpost.ErrLeaseLost].
func (l *lease) Settle(ctx context.Context, o signpost.Outcome) error {
	if o.State < signpost.Delivered || o.State > signpost.Deferred {
		return fmt.Errorf("rabbitmq: settle message %q as %v: give Delivered, Retrying, Dead or Deferred", l.entry.message.ID, o.State)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, wait, err := l.queue.settle(l.entry, o)
		switch {
		case s == nil && wait == nil:
			return err
		case s == nil: // another call's, or a connection: first it must be known what becomes of that
			select {
			case <-wait:
			case <-ctx.Done():
			}
			continue
		}
		select {
		case <-s.done:
		case <-ctx.Done():
			if l.queue.leave(s) {
				return ctx.Err()
			}
		}
		switch {
		case s.again:
			continue
		case errors.Is(s.err, ErrClosed):
			return fmt.Errorf("%w: %w", signpost.ErrLeaseLost, s.err)
		case s.err != nil:
			return fmt.Errorf("rabbitmq: settle message %q as %v: %w", l.entry.message.ID, o.State, s.err)
		}
		return nil
	}
}

// settle begins to settle a lease and returns the settlement. If something else must happen first it returns what to wait for,
// and if the lease has ended neither, but what Settle returns.
func (q *Queue) settle(e *entry, o signpost.Outcome) (s *settlement, wait <-chan struct{}, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case e.end != nil && e.end.unheard && e.end.outcome.State == o.State: // this is the same caller, who tries again
		e.end.unheard = false
		return nil, nil, nil
	case e.end != nil:
		return nil, nil, signpost.ErrSettled
	case e.state == gone:
		return nil, nil, signpost.ErrLeaseLost
	case q.closed:
		return nil, nil, fmt.Errorf("%w: %w", signpost.ErrLeaseLost, ErrClosed)
	case e.job != nil:
		return nil, e.job.done, nil
	case len(e.deliveries) == 0:
		return nil, q.changed, nil
	}
	s = &settlement{outcome: o, done: make(chan struct{})}
	if o.State == signpost.Delivered {
		d := e.deliveries[len(e.deliveries)-1]
		if !d.consumer.ack(d.tag, func(err error) { q.acked(e, s, d, err) }) {
			return nil, q.changed, nil // until channelGone has put that right
		}
		e.job = s
		return s, nil, nil
	}
	p, err := q.onward(e.message, o)
	if err != nil {
		return nil, nil, err
	}
	p.then = func(err error) { q.published(e, s, p, err) }
	if !q.publisher.submit(p) {
		return nil, nil, fmt.Errorf("%w: %w", signpost.ErrLeaseLost, ErrClosed)
	}
	e.job = s
	return s, nil, nil
}

// onward returns what a message is published as after an outcome.
func (q *Queue) onward(m *signpost.Message, o signpost.Outcome) (*publication, error) {
	now := time.Now()
	next := *m
	if o.State == signpost.Retrying || o.State == signpost.Dead && o.Attempt.Number > 0 {
		next.Attempts++
	}
	if o.State == signpost.Dead {
		msg, err := publishing(&next, append(wire.Encode(&next, time.Time{}), wire.EncodeDead(o, now)...), q.copies.next())
		return &publication{queue: q.dead(), msg: msg}, err
	}
	at := o.RetryAt
	if !at.After(now) {
		at = time.Time{}
	}
	msg, err := publishing(&next, wire.Encode(&next, at), q.copies.next())
	return &publication{queue: q.target(at, now), msg: msg}, err
}

// published is told what has become of what was published onward.
func (q *Queue) published(e *entry, s *settlement, p *publication, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if errors.Is(err, errTooLarge) && len(p.msg.Headers) > 3 { // as in Queue.sent
		q.logger.Error("rabbitmq: message can't be published onward, it is dead without its headers",
			"id", p.msg.MessageId, "endpoint", e.endpoint, "queue", q.dead(), "err", err)
		bare := amqp.Delivery{Body: p.msg.Body, MessageId: p.msg.MessageId, Timestamp: p.msg.Timestamp}
		next := &publication{queue: q.dead(), msg: buried(&bare, err, time.Now(), q.copies.next())}
		next.then = func(err error) { q.published(e, s, next, err) }
		if q.publisher.submit(next) {
			return
		}
		err = ErrClosed
	}
	if err != nil {
		q.over(e, s, err)
		return
	}
	e.end = s
	if e.state != leased {
		q.over(e, s, nil)
		return
	}
	q.leases--
	q.finish(e, func() { q.over(e, s, nil) })
}

// acked is told whether the ack of a delivered message was written.
func (q *Queue) acked(e *entry, s *settlement, d delivery, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case err == nil:
		for i, other := range e.deliveries {
			if other == d {
				e.deliveries = append(e.deliveries[:i], e.deliveries[i+1:]...)
				break
			}
		}
		e.end = s
		if e.state == leased {
			q.leases--
			q.finish(e, nil)
		}
	case q.closed:
		err = ErrClosed
	default: // it comes again, or the lease is lost
		s.again = true
	}
	q.over(e, s, err)
}

// over requires that mu is held.
func (q *Queue) over(e *entry, s *settlement, err error) {
	s.err = err
	e.job = nil
	close(s.done)
}

// leave notes that the caller of Settle leaves, and reports whether it leaves before it is known what has become of it.
func (q *Queue) leave(s *settlement) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
		s.unheard = true
		return true
	}
}
