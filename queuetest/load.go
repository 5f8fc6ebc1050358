package queuetest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// A load is what becomes of many messages that several goroutines enqueue, receive and settle.
type load struct {
	queue signpost.Queue
	ctx   context.Context // for calls that must succeed
	stop  func()          // ends receiving

	mu   sync.Mutex // protects the following fields
	all  map[string]*progress
	left int // not delivered
}

type progress struct {
	state     signpost.State // what comes of the first lease
	out       bool           // leased
	delivered bool
	attempts  int
	retryAt   time.Time // zero: not leased yet
}

func loadIsDelivered(s *session) { s.load(250, nil) }

// load has 8 producers, of so many messages each, and 8 consumers. Some messages are retried and some deferred, once.
// Something else may be done until all are delivered.
func (s *session) load(each int, beside func(ctx context.Context)) {
	const producers, consumers = 8, 8
	ctx, cancel := s.context()
	defer cancel()
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	l := &load{queue: s.queue, ctx: ctx, stop: stop, all: map[string]*progress{}, left: producers * each}
	for p := range producers {
		for i := range each {
			states := []signpost.State{signpost.Retrying, signpost.Deferred, signpost.Delivered, signpost.Delivered, signpost.Delivered}
			l.all[loadID(p, i)] = &progress{state: states[i%len(states)]}
		}
	}
	n := producers + consumers
	if beside != nil {
		n++
	}
	s.together("Enqueue, Receive or Settle", n, func(i int) (err error) {
		switch {
		case i < producers:
			err = l.produce(i, each)
		case i < producers+consumers:
			err = l.consume(receiving)
		default:
			beside(receiving)
		}
		if err != nil {
			stop()
		}
		return err
	})
	s.nothing("every message was delivered")
}

func loadID(producer, i int) string { return fmt.Sprintf("msg_%d_%d", producer, i) }

func (l *load) produce(producer, n int) error {
	for i := range n {
		if err := l.queue.Enqueue(l.ctx, message(loadID(producer, i))); err != nil {
			return fmt.Errorf("call of Enqueue: %w: it must take over valid messages", err)
		}
	}
	return nil
}

func (l *load) consume(receiving context.Context) error {
	for {
		r := receive(receiving, l.queue)
		switch {
		case r.err == nil:
		case receiving.Err() != nil && l.ctx.Err() == nil:
			return nil
		default:
			return fmt.Errorf("call of Receive: %w: a message is received until it is settled, and %d are missing", r.err, l.missing())
		}
		o, err := l.leased(r)
		if err != nil {
			return err
		}
		if err := r.Settle(l.ctx, o); err != nil {
			return fmt.Errorf("call of Settle as %v: %w: it must settle a lease that is out", o.State, err)
		}
	}
}

func (l *load) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left
}

// leased notes that a lease came, and says how to settle it.
func (l *load) leased(r receipt) (o signpost.Outcome, err error) {
	m := r.Message()
	o, err = l.decide(m, r.at)
	if err != nil {
		return o, err
	}
	time.Sleep(10 * time.Microsecond) // the lease is out for a while
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[m.ID].out = false // from when Settle begins to work it may be out again
	if o.State == signpost.Delivered {
		l.all[m.ID].delivered = true
		if l.left--; l.left == 0 {
			l.stop()
		}
	}
	return o, nil
}

func (l *load) decide(m *signpost.Message, at time.Time) (o signpost.Outcome, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.all[m.ID]
	switch {
	case p == nil:
		return o, fmt.Errorf("message %q came: it was never enqueued", m.ID)
	case p.out || p.delivered:
		return o, fmt.Errorf("message %q came twice: nobody else receives it while the lease is out, or when it was delivered", m.ID)
	case at.Before(p.retryAt):
		return o, fmt.Errorf("message %q came %v before it was due: RetryAt may be rounded later, never earlier", m.ID, p.retryAt.Sub(at))
	case m.Attempts != p.attempts:
		return o, fmt.Errorf("message %q came with %d attempts, not %d: each Retrying counts one, and nothing else", m.ID, m.Attempts, p.attempts)
	}
	p.out = true
	if p.retryAt.IsZero() && p.state != signpost.Delivered {
		p.retryAt = in(50 * time.Millisecond)
		p.attempts += attemptsAfter(p.state)
		return outcome(p.state, m, p.retryAt), nil
	}
	return delivered(m), nil
}
