package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// An endpoint whose window is larger than endpointLeases never lacks work.
func TestHoldsLeaveWideWindowsFull(t *testing.T) {
	for _, holds := range []bool{false, true} {
		s := newSchedule(Config{Workers: 2000, Window: 400, Messages: 100_000, Holds: holds})
		now := start
		var out []*Item
		most := 0
		for range 500 {
			now = now.Add(time.Millisecond)
			for s.Room("h", "h/", 1) && s.Counts().Held() < 4000 {
				s.Add(now, &Item{Value: "h/"}, Arrival{Host: "h", Endpoint: "h/", Size: 1, At: now, Deadline: now.Add(time.Hour)})
			}
			for it := s.Next(now); it != nil; it = s.Next(now) {
				out = append(out, it)
			}
			most = max(most, len(out))
			for _, it := range out {
				s.Report(now, it, good)
				s.Remove(now, it)
			}
			out = out[:0]
		}
		assert.Equal(t, 400, most, "holds: %v", holds)
	}
}

// Every hold that was said is ended by EndHolds, or is over.
func TestEndHolds(t *testing.T) {
	s := newSchedule(Config{Messages: 8, Holds: true})
	now := start.Add(900 * time.Millisecond)
	it := &Item{Value: "h/"}
	add := func(it *Item, ep string) {
		s.Add(now, it, Arrival{Host: "h", Endpoint: ep, Size: 1, At: now, Deadline: now.Add(time.Hour)})
	}
	add(it, "h/")
	var others []*Item
	s.Remove(now, it) // known, without messages
	for i := range 8 {
		o := &Item{Value: "o"}
		s.Add(now, o, Arrival{Host: fmt.Sprint(i), Endpoint: fmt.Sprint(i, "/"), Size: 1, At: now, Deadline: now.Add(time.Hour)})
		others = append(others, o)
	}
	assert.False(t, s.Room("h", "h/", 1))
	s.HoldBack(now, "h", "h/")
	held := map[string]time.Time{}
	take := func() {
		for h, ok := s.TakeHold(); ok; h, ok = s.TakeHold() {
			held[h.Key] = h.Until
		}
	}
	take()
	now = start.Add(1100 * time.Millisecond) // its tick: it is forgotten
	for _, o := range others {
		s.Remove(now, o)
	}
	s.EndHolds(now)
	take()
	for k, until := range held {
		assert.False(t, until.After(now), "%s is held until %v after the end", k, until.Sub(now))
	}
}

// A message that only waits to be told back to its queue is none for the next probe.
func TestTakenIsNoProbe(t *testing.T) {
	s := newSchedule(Config{Holds: true})
	now := start
	add := func() *Item {
		it := &Item{Value: "h/"}
		s.Add(now, it, Arrival{Host: "h", Endpoint: "h/", Size: 1, At: now, Deadline: now.Add(time.Hour)})
		return it
	}
	for range breakerThreshold {
		it := add()
		s.Next(now)
		if it.state != inFlight {
			t.Fatal("no turn")
		}
		s.Report(now, it, hung)
		s.Remove(now, it)
	}
	add()
	taken := s.TakeHost(now, "h") // the queue can't settle it: its disk is full
	assert.Len(t, taken, 1)
	for range 60 {
		now = now.Add(10 * time.Second)
		_, blocked := s.Blocked(now, "h", "h/")
		if !blocked {
			return
		}
		s.HoldBack(now, "h", "h/")
	}
	t.Errorf("the host isn't probed for ten minutes: breaker's time is over, and nothing is here to be tried: due %d", s.Counts().Due)
}
