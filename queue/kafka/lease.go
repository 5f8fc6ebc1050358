package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/wire"
)

// A lease is a message given to somebody.
type lease struct {
	queue   *Queue
	entry   *entry
	message *signpost.Message // as it was given

	// protected by Queue.mu
	running *settlement // that was begun and has not ended
	settled *settlement // the one that has ended the lease
}

// Message implements [signpost.Lease].
func (l *lease) Message() *signpost.Message { return l.message }

// Lost implements [signpost.RevocableLease]: the message comes to another instance, whose partition it is in now, or when the queue
// is opened again.
func (l *lease) Lost() bool {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return l.settled == nil && l.running == nil && (l.queue.closed || l.entry.isLost())
}

// A settlement is what a Settle does. All is protected by Queue.mu, except that done is closed when it has ended.
type settlement struct {
	lease   *lease
	outcome signpost.Outcome
	offset  int64 // that is finished with it
	done    chan struct{}
	err     error
	unheard bool // the caller has left before it ended
}

// end ends a settlement, unless it has ended. It requires that mu is held.
func (s *settlement) end(err error) {
	p := s.lease.entry.part
	if !p.open[s] {
		return
	}
	delete(p.open, s)
	p.checkDrained()
	s.err = err
	s.lease.running = nil
	if err == nil {
		s.lease.settled = s
	}
	close(s.done)
}

// Settle implements [signpost.Lease]. What goes on, to a delay topic or the dead topic, is there before its old place is
// finished; and that is committed before Settle returns nil, together with what others settle at the same time. If the
// partition was given to another instance it returns [signpost.ErrLeaseLost]: the message comes again, there.
func (l *lease) Settle(ctx context.Context, o signpost.Outcome) error {
	if o.State < signpost.Delivered || o.State > signpost.Deferred {
		return fmt.Errorf("kafka: settle message %q as %v: give Delivered, Retrying, Dead or Deferred", l.message.ID, o.State)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, first, err := l.begin(o)
		switch {
		case first != nil: // what is going on must end first
			select {
			case <-first:
			case <-ctx.Done():
			}
			continue
		case s == nil:
			return err
		}
		select {
		case <-s.done:
			return s.err
		case <-ctx.Done():
			return l.leave(ctx, s)
		}
	}
}

// leave returns what Settle returns when it has waited for s in vain. It may be made all the same.
func (l *lease) leave(ctx context.Context, s *settlement) error {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	s.unheard = true
	return ctx.Err()
}

// begin begins to settle the lease. If something must end first it returns what tells that, and if the lease has ended what
// Settle returns.
func (l *lease) begin(o signpost.Outcome) (s *settlement, first <-chan struct{}, err error) {
	q, e := l.queue, l.entry
	w, s, first, err := func() (*write, *settlement, <-chan struct{}, error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		switch {
		case l.running != nil:
			return nil, nil, l.running.done, nil
		case l.settled != nil && l.settled.unheard && l.settled.outcome.State == o.State: // the same caller tries again
			l.settled.unheard = false
			return nil, nil, nil, nil
		case l.settled != nil:
			return nil, nil, nil, signpost.ErrSettled
		case q.closed:
			return nil, nil, nil, lostBecause(ErrClosed)
		case e.isLost():
			return nil, nil, nil, lostBecause(errTaken)
		case e.part.back != nil:
			return nil, nil, e.part.back, nil
		case e.copying != nil:
			return nil, nil, e.copying.over, nil
		}
		s := &settlement{lease: l, outcome: o, done: make(chan struct{})}
		l.running = s
		e.part.open[s] = true
		w := l.record(s, time.Now())
		if w == nil {
			s.offset = e.offset
			e.part.settling = append(e.part.settling, s)
			q.finish(e.part, e.offset)
		} else {
			w.settle = s
		}
		return w, s, nil, nil
	}()
	if w != nil {
		q.write(w)
	}
	return s, first, err
}

// record returns what must be written, nil for nothing. It requires that mu is held.
func (l *lease) record(s *settlement, now time.Time) *write {
	q, e, o := l.queue, l.entry, s.outcome
	m := *e.message
	switch o.State {
	case signpost.Delivered:
		return nil
	case signpost.Dead:
		if o.Attempt.Number > 0 {
			m.Attempts++
		}
		w := q.onward(e, &m, q.config.dead(), time.Time{})
		w.record.Headers = appendFields(w.record.Headers, wire.EncodeDead(o, now))
		return w
	case signpost.Retrying:
		m.Attempts++
	}
	return q.comesAgain(e, &m, o.RetryAt, now)
}

// comesAgain has a message come again at the given time, and returns what must be written. It requires that mu is held.
func (q *Queue) comesAgain(e *entry, m *signpost.Message, at, now time.Time) *write {
	if i := q.stepFor(at.Sub(now)); i >= 0 {
		return q.onward(e, m, q.config.delay(i), at.Add(slack(at.Sub(now))))
	}
	if at.Before(now) {
		at = now
	}
	e.moving = true
	return q.copy(e, &entry{part: e.part, message: m, more: e.more, due: at, host: e.host, endpoint: e.endpoint})
}

// slack is how much later a message comes that leaves memory. It is due by the clock on the wall from then on, which is slewed,
// by a two-thousandth at most, and it must not be early by the other one either.
func slack(wait time.Duration) time.Duration {
	return min(time.Millisecond+wait/1000, time.Second)
}
