package queuetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

func receiveWaits(s *session) {
	s.nothing("nothing was enqueued")

	// Something that waits for another time must not keep Receive from looking up.
	far := message("msg_far")
	s.enqueue(far)
	s.settle(s.takeOnly(far.ID, "what is enqueued is received"), deferred(in(time.Hour)))
	for i := range 3 {
		m := message(fmt.Sprintf("msg_%d", i))
		came := s.startReceive()
		s.letWait()
		start := time.Now()
		s.enqueue(m)
		r := s.finishReceive(came, "a Receive that waits returns when a message is enqueued")
		if got := r.Message().ID; got != m.ID {
			s.t.Fatalf("message %q came instead of %q: no other was due", got, m.ID)
		}
		s.onTime(r, start)

		came = s.startReceive()
		s.letWait()
		at := in(100 * time.Millisecond)
		s.settle(r, retrying(m, at))
		r = s.finishReceive(came, "a Receive that waits returns when a message becomes due")
		s.onTime(r, at)
		s.settle(r, delivered(r.Message()))
	}
	s.nothing("no message is due")
}

// startReceive begins a Receive that waits; finishReceive ends it.
func (s *session) startReceive() <-chan receipt {
	q := s.queue
	came := make(chan receipt, 1)
	ctx, cancel := s.context()
	go func() {
		defer cancel()
		came <- receive(ctx, q)
	}()
	return came
}

func (s *session) finishReceive(came <-chan receipt, demand string) receipt {
	s.t.Helper()
	r := await(s, "Receive", func() receipt { return <-came })
	if r.err != nil {
		s.t.Fatalf("Receive: %v: %s", r.err, demand)
	}
	return r
}

// letWait gives a call time to begin waiting.
func (s *session) letWait() { time.Sleep(20 * time.Millisecond) }

func receiveHonoursContext(s *session) {
	const demand = "Receive returns its context's error when that is done"
	end := func(name string, ctx context.Context, want error) {
		start := time.Now()
		r := s.receiveWith(ctx)
		if r.err == nil {
			s.t.Fatalf("Receive with a context that is %s: message %q came: %s", name, r.Message().ID, demand)
		}
		if !errors.Is(r.err, want) {
			s.t.Errorf("Receive with a context that is %s: %v: %s", name, r.err, demand)
		}
		if took := r.at.Sub(start); took > 100*time.Millisecond+s.slack {
			s.t.Errorf("Receive with a context that is %s took %v to return: it returns when the context is done", name, took)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	end("cancelled", cancelled, context.Canceled)

	waiting, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(50*time.Millisecond, cancel)
	defer timer.Stop()
	end("cancelled while it waits", waiting, context.Canceled)

	expiring, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	end("expiring while it waits", expiring, context.DeadlineExceeded)

	m := message("msg_due")
	s.enqueue(m)
	end("cancelled, while a message is due", cancelled, context.Canceled)
	r := s.takeOnly(m.ID, "a Receive that returned an error has taken no message")

	leased, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	end("expiring, while every message is leased", leased, context.DeadlineExceeded)
	s.settle(r, delivered(m))
}

// receiveCancelledLosesNothing cancels Receive about when a message comes.
func receiveCancelledLosesNothing(s *session) {
	const demand = "a message is received until a lease on it is settled, and a Receive that returned an error gave no lease"
	const n = 200
	came := map[string]bool{}
	take := func(r receipt) {
		id := r.Message().ID
		if came[id] {
			s.t.Fatalf("message %q came again: it was settled as Delivered", id)
		}
		came[id] = true
		s.settle(r, delivered(r.Message()))
	}
	for i := range n {
		ctx, cancel := context.WithTimeout(context.Background(), s.patience)
		if i%2 == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(time.Millisecond))
		}
		q := s.queue
		received := make(chan receipt, 1)
		go func() { received <- receive(ctx, q) }()
		s.enqueue(message(fmt.Sprintf("msg_%d", i)))
		cancel()
		r := await(s, "Receive", func() receipt { return <-received })
		switch {
		case r.err == nil:
			take(r)
		case !errors.Is(r.err, ctx.Err()):
			s.t.Fatalf("Receive: %v: it returns its context's error when that is done", r.err)
		}
	}
	for len(came) < n {
		take(s.take(fmt.Sprintf("%s; %d of %d came", demand, len(came), n)))
	}
	s.nothing("every message was delivered")
}

// receiveLeasesOnce takes as many leases as a dispatcher may have out at the same time.
func receiveLeasesOnce(s *session) {
	const n = 1000
	for i := range 10 {
		s.enqueue(batch(fmt.Sprintf("msg_%d", i), n/10)...)
	}
	var (
		q      = s.queue
		mu     sync.Mutex
		leases = map[string]signpost.Lease{}
	)
	ctx, cancel := s.context()
	defer cancel()
	enough, stop := context.WithCancel(ctx)
	defer stop()
	s.together("Receive", 8, func(int) error {
		for {
			r := receive(enough, q)
			if r.err != nil && enough.Err() != nil && ctx.Err() == nil {
				return nil
			}
			mu.Lock()
			out := len(leases)
			if r.err == nil {
				leases[r.Message().ID] = r
			}
			again := r.err == nil && len(leases) == out
			all := len(leases) == n
			mu.Unlock()
			if all || again || r.err != nil {
				stop()
			}
			switch {
			case r.err != nil:
				return fmt.Errorf("call of Receive: %w: a message is due, however many leases are out: %d of %d are", r.err, out, n)
			case again:
				return fmt.Errorf("message %q came to two receivers: nobody else receives it while the lease is out", r.Message().ID)
			}
		}
	})
	late, cancel := context.WithTimeout(context.Background(), s.quiet+s.h.Late)
	defer cancel()
	if r := s.receiveWith(late); r.err == nil {
		s.t.Fatalf("message %q came: nobody else receives it while the lease is out", r.Message().ID)
	}
	held := slices.Collect(maps.Values(leases))
	s.together("Settle", 8, func(i int) error {
		for _, l := range held[i*n/8 : (i+1)*n/8] {
			if err := l.Settle(ctx, delivered(l.Message())); err != nil {
				return fmt.Errorf("call of Settle: %w: it must settle a lease that is out", err)
			}
		}
		return nil
	})
	s.nothing("every message was delivered")
}
