package queuetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

func messagesSurvive(s *session) {
	const demand = "once Enqueue has returned nil, a message is durable"
	msgs := variety()
	s.enqueue(msgs...)
	s.reopen()
	got := s.takeAll(len(msgs), demand)
	for _, want := range msgs {
		r, ok := got[want.ID]
		if !ok {
			s.t.Errorf("message %.40q did not come: %s", want.ID, demand)
			continue
		}
		s.same(r.Message(), want, demand)
		s.settle(r, delivered(want))
	}
	s.nothing("every message was delivered")
}

func leasesComeBack(s *session) {
	const demand = "a message whose lease isn't settled comes back when the queue is opened again, as it was"
	msgs := append(batch("msg", 10), peculiar())
	s.enqueue(msgs...)
	for range 2 {
		s.takeAll(len(msgs), demand)
		s.reopen()
	}
	opened := time.Now()
	got := s.takeAll(len(msgs), demand)
	for _, want := range msgs {
		r := got[want.ID]
		s.onTime(r, opened)
		s.same(r.Message(), want, demand)
		s.settle(r, delivered(want))
	}
	s.reopen()
	s.nothing("every message was delivered")
}

func oldLeasesAreLost(s *session) {
	for i, state := range []signpost.State{signpost.Delivered, signpost.Retrying, signpost.Dead, signpost.Deferred} {
		m := message(fmt.Sprintf("msg_%d", i))
		s.enqueue(m)
		old := s.takeOnly(m.ID, "what is enqueued is received")
		s.reopen()
		r := s.takeOnly(m.ID, "a message whose lease isn't settled comes back when the queue is opened again")
		if l, ok := old.Lease.(signpost.RevocableLease); ok && !l.Lost() {
			s.t.Errorf("Lost of the old lease of message %q, which was leased again: false: it is lost", m.ID)
		}
		if l, ok := r.Lease.(signpost.RevocableLease); ok && l.Lost() {
			s.t.Errorf("Lost of the new lease of message %q: true: it is out", m.ID)
		}
		ctx, cancel := s.context()
		err := s.settleWith(ctx, old, outcome(state, m, in(0)))
		cancel()
		if !errors.Is(err, signpost.ErrLeaseLost) && !errors.Is(err, signpost.ErrSettled) {
			s.t.Errorf("Settle as %v on the old lease of a message that was leased again: %v: it returns ErrLeaseLost", state, err)
		}
		s.nothing("the message is leased, and Settle on an old lease changes nothing")
		s.settle(r, retrying(m, in(0)))
		r = s.takeOnly(m.ID, "Settle on an old lease changes nothing, and on the new one it brought the message back")
		if got := r.Message().Attempts; got != 1 {
			s.t.Errorf("message %q has %d attempts, not 1: Settle on an old lease changes nothing", m.ID, got)
		}
		s.settle(r, delivered(m))
	}
}

func outcomesSurvive(s *session) {
	const demand = "what Settle returned nil for is durable"
	states := []signpost.State{signpost.Delivered, signpost.Retrying, signpost.Dead, signpost.Deferred}
	msgs := batch("msg", 40)
	s.enqueue(msgs...)
	settled := map[string]signpost.State{}
	due := map[string]time.Time{} // of what comes back some time
	soon := 0
	for id, r := range s.takeAll(len(msgs), "what is enqueued is received") {
		state, at := states[len(settled)%len(states)], in(300*time.Millisecond)
		far := len(settled)%5 == 0
		if far {
			at = in(time.Hour)
		}
		s.settle(r, outcome(state, r.Message(), at))
		settled[id] = state
		if state == signpost.Retrying || state == signpost.Deferred {
			due[id] = at
			if !far {
				soon++
			}
		}
	}
	s.reopen()
	opened := time.Now()
	for range soon {
		r := s.take(demand + ": what is Retrying or Deferred comes back")
		m := r.Message()
		at, ok := due[m.ID]
		switch {
		case !ok:
			s.t.Fatalf("message %q came back, or twice, after it was settled as %v: %s", m.ID, settled[m.ID], demand)
		case r.at.Before(at):
			s.t.Fatalf("message %q came %v before it was due: RetryAt may be rounded later, never earlier", m.ID, at.Sub(r.at))
		case m.Attempts != attemptsAfter(settled[m.ID]):
			s.t.Fatalf("message %q came back with %d attempts after it was settled as %v: %s", m.ID, m.Attempts, settled[m.ID], demand)
		}
		s.onTime(r, latest(at, opened))
		delete(due, m.ID)
		s.settle(r, delivered(m))
	}
	s.nothing(demand + ": what was Delivered or Dead doesn't come back, and the rest isn't due for a long time")
}

// loadSurvivesClose closes the queue while it is busy.
func loadSurvivesClose(s *session) {
	const most = 2000
	var (
		q        = s.queue
		mu       sync.Mutex
		enqueued = map[string]bool{}
		unknown  = map[string]bool{} // Enqueue or Settle returned an error
		ended    = map[string]bool{}
	)
	note := func(set map[string]bool, id string) int {
		mu.Lock()
		defer mu.Unlock()
		set[id] = true
		return len(set)
	}
	ctx, cancel := s.context()
	defer cancel()
	busy := make(chan struct{})
	running := make(chan error, 1)
	go func() {
		var wg sync.WaitGroup
		for p := range 4 {
			wg.Go(func() {
				for i := range most / 4 {
					id := fmt.Sprintf("msg_%d_%d", p, i)
					if err := q.Enqueue(ctx, message(id)); err != nil {
						note(unknown, id)
						return
					}
					note(enqueued, id)
				}
			})
		}
		signal := sync.OnceFunc(func() { close(busy) })
		for range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					r := receive(ctx, q)
					if r.err != nil {
						return
					}
					if i%3 == 0 {
						continue // it stays unsettled
					}
					id := r.Message().ID
					if err := r.Settle(ctx, delivered(r.Message())); err != nil {
						note(unknown, id)
						return
					}
					if note(ended, id) >= 100 {
						signal()
					}
				}
			})
		}
		wg.Wait()
		running <- ctx.Err()
	}()
	select {
	case <-busy:
	case err := <-running:
		s.t.Fatalf("Enqueue, Receive and Settle returned errors (%v) before the queue was closed", err)
	}
	s.close()
	if err := await(s, "a call that waits when the queue is closed", func() error { return <-running }); errors.Is(err, context.DeadlineExceeded) {
		s.t.Fatal("Enqueue, Receive or Settle went on after Close: calls that wait return an error")
	}

	s.open()
	missing := map[string]bool{}
	for id := range enqueued {
		if !ended[id] && !unknown[id] {
			missing[id] = true
		}
	}
	check := func(r receipt) {
		id := r.Message().ID
		if ended[id] {
			s.t.Fatalf("message %q came back: it was settled as Delivered", id)
		}
		ended[id] = true
		delete(missing, id)
	}
	for len(missing) > 0 {
		r := s.take(fmt.Sprintf("what Enqueue returned nil for is received until it is settled; %d of %d are missing", len(missing), len(enqueued)))
		check(r)
		s.settle(r, delivered(r.Message()))
	}
	for _, r := range s.drain() {
		check(r)
	}
}
