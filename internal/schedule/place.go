package schedule

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

type host struct {
	party
	turns     turns // of its endpoints
	limiter   *rate.Limiter
	limit     rate.Limit // what limiter was set to
	token     bool       // limiter had one under this limit, and it was not taken since
	endpoints int
	first     *endpoint // of its endpoints, in no order
	answered  int64     // sequence number of its last answer
	later     int64     // the last time that Later gave
	lastErr   error
	spared    bool                // the last probe went to an endpoint because it wasn't failing: the next one goes to whose turn it is
	room      [1]slot[readyParty] // of turns.sound, while there is no more than one endpoint in it
}

type endpoint struct {
	party
	line       heap[dueItem] // due items, by arrival
	waits      list          // waiting items, in no order
	failed     int64         // sequence number of its last failure
	prev, next *endpoint
	room       [1]slot[dueItem] // of line, while there is no more than one item in it
}

// A newcomer is a host with its first endpoint, which most hosts leave it at. Where there are a million hosts an
// operation's time is that of fetching what it touches from memory, so what is touched together lies together.
type newcomer struct {
	host     host
	endpoint endpoint
}

// meet makes an endpoint known, and its host.
func (s *Schedule) meet(hostKey, endpointKey string) *endpoint {
	h := s.hosts[hostKey]
	var e *endpoint
	if h != nil {
		e = &endpoint{}
	} else {
		n := &newcomer{}
		h, e = &n.host, &n.endpoint
		h.turns.sound.s = h.room[:0]
		h.party = party{key: hostKey, order: &s.order, host: h, ready: nowhere, timer: nowhere}
		h.window = min(hostWindow, s.config.Window)
		if s.config.Limit != rate.Inf {
			h.limit = s.config.Limit
			h.limiter = rate.NewLimiter(h.limit, s.config.Burst)
		}
		s.hosts[hostKey] = h
	}
	e.line.s = e.room[:0]
	e.party = party{key: endpointKey, order: &h.turns, host: h, endpoint: e, ready: nowhere, timer: nowhere}
	e.window = endpointWindow
	e.next = h.first
	if h.first != nil {
		h.first.prev = e
	}
	h.first = e
	h.endpoints++
	s.endpoints[endpointKey] = e
	return e
}

// place gives an endpoint the place that its condition calls for: among those that may have a turn, or with a
// timer; and then its host, whose place depends on its endpoints'.
func (s *Schedule) place(e *endpoint, now int64) {
	timer := int64(0)
	if e.held > 0 {
		e.idleTo = 0
	}
	switch {
	case e.held == 0:
		e.order.leave(&e.party)
		if e.idleTo == 0 {
			e.idleTo = nextTick(now)
		}
		if timer = max(e.idleTo, e.memory()); timer <= now {
			e.crowdedTo = 0 // nobody else would end its hold
			s.forgetEndpoint(e)
		}
	case e.due == 0 || e.inFlight >= e.window:
		e.order.leave(&e.party)
	case e.blockedTo() > now:
		e.order.leave(&e.party)
		timer = e.blockedTo()
	default:
		e.order.enter(&e.party)
	}
	s.setTimer(&e.party, timer, now)
	s.hold(&e.party, now)
	s.placeHost(e.host, now)
}

// placeHost does the same for a host alone.
func (s *Schedule) placeHost(h *host, now int64) {
	timer := int64(0)
	switch {
	case h.endpoints == 0:
		s.order.leave(&h.party)
		if timer = max(h.memory(), s.limiterFull(h, now)); timer <= now {
			h.crowdedTo = 0
			if delete(s.hosts, h.key); len(s.hosts) == 0 {
				s.hosts = make(map[string]*host) // a map that was large stays so
			}
		}
	case h.next(s.config.Window) == nil:
		s.order.leave(&h.party)
	default:
		if timer = max(h.blockedTo(), s.nextToken(h, now)); timer > now {
			s.order.leave(&h.party)
		} else {
			s.order.enter(&h.party)
		}
	}
	s.setTimer(&h.party, timer, now)
	s.hold(&h.party, now)
}

// next is the endpoint of h whose turn it is; nil if there is none. largest is the largest window that h may have.
//
// A host whose window is down to one has a second place, for another endpoint, and at most one of the two is for a failing
// endpoint: or one that hangs would stop all the others, and nothing could tell any more whose fault it is. For the same
// reason every other probe goes to an endpoint that isn't failing, if there is one.
func (h *host) next(largest int) *party {
	full := h.inFlight >= h.window
	if full && (h.inFlight > 1 || h.probe > 0 || largest == 1) {
		return nil
	}
	if h.turns.sound.len() > 0 && (full && h.turns.suspects > 0 || h.probe > 0 && !h.spared) {
		if _, p := h.turns.sound.min(); !full || p.inFlight == 0 {
			return p.party
		}
	}
	p := h.turns.next(h.half())
	if full && p != nil && (h.turns.suspects > 0 || p.inFlight > 0) {
		return nil
	}
	return p
}

// nextTick is the end of the second that t is in. Idle endpoints are forgotten then, and their hosts with
// them: seldom enough to cost nothing, and a receiver that gets messages all the time, but one at a time,
// isn't met anew for each.
func nextTick(t int64) int64 {
	const tick = int64(time.Second)
	return (t/tick + 1) * tick
}

// nextToken is when h's limiter lets the next attempt through, at most now if it does so already.
func (s *Schedule) nextToken(h *host, now int64) int64 {
	if h.token && h.limit == s.config.Limit {
		return 0
	}
	t := s.tokensAt(h, now, 1)
	h.token = t <= now
	return t
}

// limiterFull is when h's limiter has nothing to remember any more.
func (s *Schedule) limiterFull(h *host, now int64) int64 {
	return s.tokensAt(h, now, float64(s.config.Burst))
}

func (s *Schedule) tokensAt(h *host, now int64, want float64) int64 {
	if h.limiter == nil {
		return 0
	}
	t := s.time(now)
	if h.limit != s.config.Limit {
		h.limit = s.config.Limit
		h.limiter.SetLimitAt(t, s.config.Limit)
		h.limiter.SetBurstAt(t, s.config.Burst)
	}
	missing := want - h.limiter.TokensAt(t)
	if missing <= 0 {
		return 0
	}
	wait := math.Ceil(missing / float64(h.limit) * float64(time.Second))
	return now + int64(min(max(1, wait), float64(math.MaxInt64/4)))
}

func (s *Schedule) setTimer(p *party, at, now int64) {
	if at > now {
		s.timers.set(timedParty{p}, at)
	} else {
		s.timers.remove(timedParty{p})
	}
}

func (s *Schedule) forgetEndpoint(e *endpoint) {
	h := e.host
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		h.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	h.endpoints--
	if delete(s.endpoints, e.key); len(s.endpoints) == 0 {
		s.endpoints = make(map[string]*endpoint)
	}
}
