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

// Backlog returns how long it takes at least until every message that a host has now has had a turn, as far
// as its rate limit goes.
func (s *Schedule) Backlog(hostKey string) time.Duration {
	h := s.hosts[hostKey]
	if h == nil || h.limiter == nil {
		return 0
	}
	return time.Duration(float64(h.held) / float64(s.config.Limit) * float64(time.Second))
}
