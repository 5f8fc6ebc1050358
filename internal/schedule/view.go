package schedule

import (
	"iter"
	"time"
)

// A HostView is what a schedule knows of one host.
type HostView struct {
	Key                            string
	Due, Waiting, InFlight, Window int
	Endpoints                      int       // known
	Paused                         int       // … of them paused, or with an open breaker
	PausedUntil                    time.Time // the latest end of these and of the host's own; zero if nothing is held back
	LastErr                        error
}

// All yields every host, in no order. The schedule must not be changed meanwhile. It costs O(n) for n endpoints.
func (s *Schedule) All(now time.Time) iter.Seq[HostView] {
	n := s.nanos(now)
	return func(yield func(HostView) bool) {
		for _, h := range s.hosts {
			v := HostView{
				Key: h.key, Due: h.due, Waiting: h.held - h.due - h.inFlight, InFlight: h.inFlight, Window: h.window,
				Endpoints: h.endpoints, LastErr: h.lastErr,
			}
			until := h.blockedTo()
			for e := h.first; e != nil; e = e.next {
				t := e.blockedTo()
				if t > n || e.probe > 0 { // a breaker is open while its probe is in flight, too
					v.Paused++
				}
				until = max(until, t)
			}
			if until > n {
				v.PausedUntil = s.time(until)
			}
			if !yield(v) {
				return
			}
		}
	}
}

// Later returns when a message of a host that has no room for it may come again. Every call gives a later time,
// spaced by the host's rate limit, so that what has to come again does not come all at once.
func (s *Schedule) Later(now time.Time, hostKey string) time.Time {
	const soonest, latest = int64(time.Second), int64(10 * time.Minute)
	n := max(s.nanos(now), s.last)
	h := s.hosts[hostKey]
	if h == nil {
		return s.time(n + soonest)
	}
	space := int64(time.Millisecond)
	if h.limiter != nil {
		space = max(space, int64(float64(time.Second)/float64(s.config.Limit)))
	}
	h.later = min(max(h.later, n+soonest)+space, n+latest)
	return s.time(h.later)
}
