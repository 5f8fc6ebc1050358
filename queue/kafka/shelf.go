package kafka

import (
	"time"

	"github.com/signpost-go/signpost/internal/lines"
)

const (
	shelfBytes = 64 << 20 // payloads on the shelf, beyond which nothing more is fetched
	comebacks  = 200      // messages for one host that come back in a second, of those that were sent away
)

// A shelf has what was taken from the broker and waits to be received. All is protected by Queue.mu.
type shelf struct {
	lines    *lines.Lines[*entry]
	prefetch int
	bytes    int
	away     map[string]*sentAway // by host
}

// sentAway are the messages for a host that a hold had go to the delay topics.
type sentAway struct {
	until time.Time // the hold's end
	n     int
}

func newShelf(prefetch int) *shelf {
	return &shelf{lines: lines.New[*entry](), prefetch: prefetch, away: map[string]*sentAway{}}
}

func (s *shelf) push(e *entry) {
	e.leased = false
	s.lines.Push(e, e.host, e.endpoint, e.due)
	s.bytes += e.size()
}

// pop takes out what is due. If there is nothing, it returns when there may be: zero if nobody knows.
func (s *shelf) pop(now time.Time) (*entry, time.Time) {
	for s.lines.Len() > 0 {
		if first := s.lines.First(); first.After(now) {
			return nil, first
		}
		e := s.lines.Pop()
		s.bytes -= e.size()
		if e.isLost() || e.moving {
			continue
		}
		e.leased = true
		return e, time.Time{}
	}
	return nil, time.Time{}
}

func (s *shelf) isFull() bool { return s.lines.Len() >= s.prefetch || s.bytes >= shelfBytes }
func (s *shelf) isLow() bool  { return s.lines.Len() <= s.prefetch/2 && s.bytes <= shelfBytes/2 }

// keep drops what isn't to be kept.
func (s *shelf) keep(this func(e *entry) bool) {
	kept := make([]*entry, 0, s.lines.Len())
	for e := range s.lines.All {
		if this(e) {
			kept = append(kept, e)
		}
	}
	s.lines.Clear()
	s.bytes = 0
	for _, e := range kept {
		s.push(e)
	}
}

// heldUntil is when the last hold on a message ends, zero if there is none.
func (s *shelf) heldUntil(e *entry, now time.Time) time.Time {
	return s.lines.HeldUntil(e.host, e.endpoint, now)
}

// tooManyHeld returns what is held beyond half of the prefetch, and takes it from the shelf.
func (s *shelf) tooManyHeld(now time.Time) []*entry {
	most := s.prefetch / 2
	if s.lines.Len() <= most && s.bytes < shelfBytes/4 {
		return nil
	}
	held, bytes := 0, 0
	var away []*entry
	leaves := map[*entry]bool{}
	for e := range s.lines.All {
		if e.copying != nil || s.heldUntil(e, now).IsZero() {
			continue
		}
		if held++; held > most || bytes > shelfBytes/4 {
			away = append(away, e)
			leaves[e] = true
		} else {
			bytes += e.size()
		}
	}
	if len(away) > 0 {
		s.keep(func(e *entry) bool { return !leaves[e] })
	}
	return away
}

// comesBack is when a held message that is sent away is due again. So many a second are, for a host: were it all of them at
// once, they would stand in front of everybody else.
func (s *shelf) comesBack(e *entry, until time.Time) time.Time {
	a := s.away[e.host]
	if a == nil || !a.until.Equal(until) {
		if len(s.away) > 10_000 { // hosts that were held some time
			clear(s.away)
		}
		a = &sentAway{until: until}
		s.away[e.host] = a
	}
	a.n++
	return until.Add(time.Duration(a.n) * time.Second / comebacks)
}
