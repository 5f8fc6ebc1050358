package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/signpost-go/signpost"
)

func closeEndsWaiting(s *session) {
	for _, waiting := range []bool{false, true} {
		if waiting { // for a message's time, too
			s.open()
			s.enqueue(message("msg_far"))
			s.settle(s.take("what is enqueued is received"), deferred(in(time.Hour)))
		}
		var calls []<-chan receipt
		for range 4 {
			calls = append(calls, s.startReceive())
		}
		s.letWait()
		start := time.Now()
		s.close()
		for _, call := range calls {
			r := await(s, "Receive", func() receipt { return <-call })
			if r.err == nil {
				s.t.Fatalf("message %q came: nothing was due, and calls that wait when the queue is closed return an error", r.Message().ID)
			}
			if took := r.at.Sub(start); errors.Is(r.err, context.DeadlineExceeded) || took > s.slack+s.h.Late {
				s.t.Fatalf("Receive returned %v after Close: %v: calls that wait when the queue is closed return an error", took, r.err)
			}
		}
	}
}

func closedReturnsErrors(s *session) {
	s.enqueue(message("msg_leased"), message("msg_waiting"))
	leased := s.take("what is enqueued is received")
	q := s.queue
	s.close()

	const demand = "the queue is closed"
	ctx, cancel := s.context()
	defer cancel()
	if err := await(s, "Enqueue", func() error { return q.Enqueue(ctx, message("msg_late")) }); err == nil {
		s.t.Errorf("Enqueue returned nil: %s", demand)
	}
	r := await(s, "Receive", func() receipt { return receive(ctx, q) })
	if r.err == nil {
		s.t.Errorf("Receive returned a lease: %s", demand)
	}
	if errors.Is(r.err, context.DeadlineExceeded) {
		s.t.Errorf("Receive waited until its context was done: %s, and so it returns another error at once", demand)
	}
	if err := s.settleWith(ctx, leased, delivered(leased.Message())); err == nil {
		s.t.Errorf("Settle returned nil: %s, and the message comes back", demand)
	}
	s.together("Close", 4, func(int) error { q.Close(); return nil }) // harmless, whatever it returns
	if s.h.Volatile {
		return
	}
	s.open()
	for _, r := range s.takeAll(2, "a message that wasn't settled before Close comes back") {
		s.settle(r, delivered(r.Message()))
	}
	s.nothing("both messages were delivered")
}

// closeLeavesNoGoroutines uses a queue several times, so as not to count what is started once, by a driver perhaps.
func closeLeavesNoGoroutines(s *session) {
	s.useAndClose(0)
	before := runtime.NumGoroutine()
	for stable := 0; stable < 5; stable++ { // what the first use has left may be ending yet
		time.Sleep(10 * time.Millisecond)
		if n := runtime.NumGoroutine(); n != before {
			before, stable = n, 0
		}
	}
	for i := range 3 {
		s.open()
		s.useAndClose(i + 1)
	}
	after := runtime.NumGoroutine()
	for deadline := in(s.patience); after > before && time.Now().Before(deadline); after = runtime.NumGoroutine() {
		time.Sleep(10 * time.Millisecond)
	}
	if after > before {
		var stacks bytes.Buffer
		pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		s.t.Fatalf("%d goroutines are left that weren't there before: Close releases the queue's resources\n%s", after-before, &stacks)
	}
}

// useAndClose leaves every kind of message behind, and calls that wait.
func (s *session) useAndClose(round int) {
	s.enqueue(batch(fmt.Sprintf("msg_%d", round), 4)...)
	states := []signpost.State{signpost.Delivered, signpost.Retrying, signpost.Deferred}
	for _, state := range states {
		r := s.take("what is enqueued is received")
		s.settle(r, outcome(state, r.Message(), in(time.Hour)))
	}
	s.take("what is enqueued is received")
	call := s.startReceive()
	s.close()
	await(s, "Receive", func() receipt { return <-call })
}
