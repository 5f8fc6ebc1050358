package queuetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost"
)

func settleEnds(s *session) {
	const demand = "a message that was settled as Delivered or Dead never comes back"
	exhausted, expired := message("msg_exhausted"), message("msg_expired")
	s.enqueue(message("msg_delivered"), exhausted, expired)
	all := s.takeAll(3, "what is enqueued is received")
	for id, r := range all {
		switch id {
		case exhausted.ID:
			s.settle(r, dead(r.Message()))
		case expired.ID:
			s.settle(r, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired}) // without an attempt
		default:
			s.settle(r, delivered(r.Message()))
		}
	}
	s.nothing(demand)
	if !s.h.Volatile {
		s.reopen()
		s.nothing(demand)
	}
}

func settleRetries(s *session) {
	const demand = "a message that was settled as Retrying comes back as it was, with one more attempt"
	m := peculiar()
	s.enqueue(m)
	r := s.takeOnly(m.ID, "what is enqueued is received")
	for _, wait := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 0} {
		at := in(wait)
		s.settle(r, retrying(r.Message(), at))
		r = s.takeOnly(m.ID, demand)
		s.onTime(r, at)
		m.Attempts++
		s.same(r.Message(), m, demand)
	}
	s.nothing("a message that was settled as Retrying comes back once")
	s.settle(r, delivered(m))
	s.nothing("a message that was settled as Delivered never comes back")
}

func settleDefers(s *session) {
	const demand = "a message that was settled as Deferred comes back as it was, with as many attempts"
	m := peculiar()
	s.enqueue(m)
	r := s.takeOnly(m.ID, "what is enqueued is received")
	for _, wait := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 0} {
		at := in(wait)
		s.settle(r, deferred(at))
		r = s.takeOnly(m.ID, demand)
		s.onTime(r, at)
		s.same(r.Message(), m, demand)
	}
	s.settle(r, retrying(m, in(0)))
	m.Attempts++
	r = s.takeOnly(m.ID, "a message that was settled as Retrying comes back")
	s.settle(r, deferred(in(0)))
	r = s.takeOnly(m.ID, demand)
	s.same(r.Message(), m, demand)
	s.nothing("a message that was settled as Deferred comes back once")
	s.settle(r, delivered(m))
	s.nothing("a message that was settled as Delivered never comes back")
}

func settlePast(s *session) {
	const demand = "RetryAt is when a message is due; one in the past is at once"
	s.enqueue(message("msg_past"))
	r := s.takeOnly("msg_past", "what is enqueued is received")
	for i, at := range []time.Time{
		in(-time.Minute), in(-20 * 365 * 24 * time.Hour), time.Unix(0, 0), {}, in(0).In(time.FixedZone("", -9*3600)),
	} {
		settled := time.Now()
		if i%2 == 0 {
			s.settle(r, retrying(r.Message(), at))
		} else {
			s.settle(r, deferred(at))
		}
		r = s.takeOnly("msg_past", demand)
		s.onTime(r, settled)
	}
	s.settle(r, delivered(r.Message()))
	s.nothing("a message that was settled as Delivered never comes back")
}

// settleAgain tries every outcome after every other.
func settleAgain(s *session) {
	const demand = "a second Settle changes nothing"
	states := []signpost.State{signpost.Delivered, signpost.Retrying, signpost.Dead, signpost.Deferred}
	var msgs []*signpost.Message
	first, second := map[string]signpost.State{}, map[string]signpost.State{}
	for _, a := range states {
		for _, b := range states {
			m := message(fmt.Sprintf("msg_%v_%v", a, b))
			msgs, first[m.ID], second[m.ID] = append(msgs, m), a, b
		}
	}
	s.enqueue(msgs...)
	due := map[string]time.Time{} // of what must come back
	for id, r := range s.takeAll(len(msgs), "what is enqueued is received") {
		at := in(100 * time.Millisecond)
		s.settle(r, outcome(first[id], r.Message(), at))
		ctx, cancel := s.context()
		err := s.settleWith(ctx, r, outcome(second[id], r.Message(), in(0)))
		cancel()
		if !errors.Is(err, signpost.ErrSettled) {
			s.t.Errorf("Settle as %v after Settle as %v: %v: a second Settle returns ErrSettled", second[id], first[id], err)
		}
		if first[id] == signpost.Retrying || first[id] == signpost.Deferred {
			due[id] = at
		}
	}
	for len(due) > 0 {
		r := s.take(demand + ": what was Retrying or Deferred at first comes back")
		m := r.Message()
		at, ok := due[m.ID]
		if !ok {
			s.t.Fatalf("message %q came back, or twice: %s", m.ID, demand)
		}
		s.onTime(r, at)
		if want := attemptsAfter(first[m.ID]); m.Attempts != want {
			s.t.Errorf("message %q came back with %d attempts, not %d: %s", m.ID, m.Attempts, want, demand)
		}
		delete(due, m.ID)
		s.settle(r, delivered(m))
	}
	s.nothing(demand + ": what was Delivered or Dead doesn't come back, and the rest comes back once")
}

// attemptsAfter is how many a new message has after it was settled with an outcome that isn't final.
func attemptsAfter(state signpost.State) int {
	if state == signpost.Retrying {
		return 1
	}
	return 0
}

func settleAtOnce(s *session) {
	for i := range 5 {
		m := message(fmt.Sprintf("msg_%d", i))
		s.enqueue(m)
		r := s.takeOnly(m.ID, "what is enqueued is received")
		ctx, cancel := s.context()
		var settled atomic.Int64
		at := in(50 * time.Millisecond)
		s.together("Settle", 8, func(int) error {
			switch err := r.Settle(ctx, retrying(m, at)); {
			case err == nil:
				settled.Add(1)
			case !errors.Is(err, signpost.ErrSettled):
				return fmt.Errorf("one of 8 calls of Settle at once: %w: all but one return ErrSettled", err)
			}
			return nil
		})
		cancel()
		if n := settled.Load(); n != 1 {
			s.t.Fatalf("%d of 8 calls of Settle at once returned nil: a lease is settled once", n)
		}
		r = s.takeOnly(m.ID, "a message that was settled as Retrying comes back")
		if got := r.Message().Attempts; got != 1 {
			s.t.Fatalf("message came back with %d attempts: it was settled once, and so has 1", got)
		}
		s.settle(r, delivered(m))
	}
	s.nothing("a message that was settled as Retrying comes back once")
}

// settleCancelled calls Settle with a context that is done already, and then, if that returned an error, with
// one that isn't.
func settleCancelled(s *session) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	s.settleTwice(func(r receipt, o signpost.Outcome) error { return s.settleWith(cancelled, r, o) })
}

// settleCutOff is settleCancelled at some time of Settle's work.
func settleCutOff(s *session) {
	s.settleTwice(func(r receipt, o signpost.Outcome) error {
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(2*time.Millisecond))
		defer cancel()
		return s.settleWith(ctx, r, o)
	})
}

// settleTwice settles messages with every outcome, first by try, and again if that returned an error.
func (s *session) settleTwice(try func(receipt, signpost.Outcome) error) {
	const demand = "after an error of Settle it may be called again, and then holds"
	states := []signpost.State{signpost.Delivered, signpost.Retrying, signpost.Dead, signpost.Deferred}
	msgs := batch("msg", 40)
	s.enqueue(msgs...)
	settled := map[string]signpost.State{}
	due := map[string]time.Time{} // of what must come back
	for id, r := range s.takeAll(len(msgs), "what is enqueued is received") {
		at := in(100 * time.Millisecond)
		o := outcome(states[len(settled)%len(states)], r.Message(), at)
		settled[id] = o.State
		if o.State == signpost.Retrying || o.State == signpost.Deferred {
			due[id] = at
		}
		if err := try(r, o); err == nil || errors.Is(err, signpost.ErrSettled) {
			continue
		}
		ctx, cancel := s.context()
		err := s.settleWith(ctx, r, o)
		cancel()
		if err != nil && !errors.Is(err, signpost.ErrSettled) {
			s.t.Fatalf("Settle as %v again: %v: %s, with nil or ErrSettled", o.State, err, demand)
		}
	}
	check := func(r receipt) {
		m := r.Message()
		at, ok := due[m.ID]
		if !ok {
			s.t.Fatalf("message %q came back, after it was settled as %v: %s", m.ID, settled[m.ID], demand)
		}
		s.onTime(r, at)
		if want := attemptsAfter(settled[m.ID]); m.Attempts != want {
			s.t.Fatalf("message %q came back with %d attempts, not %d: Settle counts once, however often it is called", m.ID, m.Attempts, want)
		}
	}
	for came := map[string]bool{}; len(came) < len(due); {
		r := s.take(demand)
		check(r)
		came[r.Message().ID] = true
		s.settle(r, delivered(r.Message()))
	}
	for _, r := range s.drain() { // twice, perhaps: the call with the error may have worked, too
		check(r)
	}
}
