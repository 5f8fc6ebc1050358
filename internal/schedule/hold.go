package schedule

import "time"

// This file says what a queue had better hold back, so that it doesn't give what would be refused. There is one rule:
// whenever a party has changed, its hold is made what its condition calls for. So no hold outlasts its reason, whatever
// ended that: a success, a message that was taken out, a pause that was over before.

// A Hold asks that the messages for a host or an endpoint be held back.
type Hold struct {
	Key   string    // the host's or the endpoint's
	Until time.Time // zero: no longer
}

// holdGate is the part of a party that is about holding back what isn't here yet.
type holdGate struct {
	heldTo    int64 // until when its messages are held back, as was last said; past: they aren't
	crowdedTo int64 // it gets nothing more before this time, for want of room
	crowdedAt int   // … unless it holds no more than this many, after one has gone
}

const (
	crowdedFor = time.Second // how long who has no room is held back, at most
	longestTie = time.Second // by how much an endpoint that failed a host's probe comes after the others, at most
	tieBreak   = 8           // … and the part of the host's interval that this is
)

// hold makes p's hold what its condition calls for, if it isn't.
func (s *Schedule) hold(p *party, now int64) {
	if !s.config.Holds {
		return
	}
	t := max(p.blockedTo(), p.crowdedTo)
	if t <= now && p.probe > 0 && p.held > p.taken { // the message for the next probe is here, and what comes of it ends the hold
		t = p.heldTo
		if t <= now {
			t = now + int64(p.probe)
		}
	}
	if t <= now {
		t = 0
	}
	if p.heldTo <= now {
		p.heldTo = 0
	}
	if t != p.heldTo {
		s.say(p, t)
	}
}

// say has p held back until t, or no longer if t is 0.
func (s *Schedule) say(p *party, t int64) {
	p.heldTo = t
	h := Hold{Key: p.key}
	if t > 0 {
		h.Until = s.time(t)
	}
	s.holds = append(s.holds, h)
}

// HoldBack is for a message that was refused, because its endpoint or host is Blocked or has no Room. Whoever it is
// gets its messages held back: until it is no longer blocked, or for want of room for a second or until half of what it
// holds has gone. HoldBack returns when the message may come again, and whether it came although such messages were
// held back already.
func (s *Schedule) HoldBack(now time.Time, hostKey, endpointKey string) (until time.Time, again bool) {
	n := s.advance(now)
	t := n
	var parties [2]*party
	if h := s.hosts[hostKey]; h != nil {
		parties[0] = &h.party
	}
	if e := s.endpoints[endpointKey]; e != nil {
		parties[1] = &e.party
	}
	for _, p := range parties {
		if p != nil && p.heldBackTo(n) > n {
			again = again || p.heldTo > n
			s.hold(p, n)
			t = max(t, p.heldTo)
		}
	}
	if t > n {
		return s.time(t), again
	}
	p := parties[1]
	if !s.HostRoom(hostKey) {
		p = parties[0]
	}
	if p == nil {
		return s.time(n + int64(crowdedFor)), false
	}
	again = p.heldTo > n
	p.crowdedTo, p.crowdedAt = n+int64(crowdedFor), p.held/2
	s.hold(p, n)
	return s.time(n), again // it keeps its place in line
}

// uncrowd ends p's want of room, if enough of what it holds has gone.
func (p *party) uncrowd() {
	if p.held <= p.crowdedAt {
		p.crowdedTo = 0
	}
}

// yield has an endpoint that failed a host's probe come a little after the host's next one is due. Of the messages
// that are held back only one is let through then, and it is the one that has waited for the longest time: without this
// it would be that endpoint's every time, if it has many, and the host would stay closed to the others.
func (s *Schedule) yield(e *endpoint) {
	if h := e.host; s.config.Holds && e.failing() {
		e.closedTo = max(e.closedTo, h.closedTo+int64(min(longestTie, h.probe/tieBreak)))
	}
}

// HasHolds reports whether TakeHold has something to tell.
func (s *Schedule) HasHolds() bool { return len(s.holds) > 0 }

// TakeHold returns the next change of what should be held back, in the order in which they came about.
func (s *Schedule) TakeHold() (h Hold, ok bool) {
	if len(s.holds) == 0 {
		return Hold{}, false
	}
	h = s.holds[0]
	if s.holds = s.holds[1:]; len(s.holds) == 0 {
		s.holds = nil // or the array would grow at its end and keep what was at its beginning
	}
	return h, true
}

// EndHolds ends every hold.
func (s *Schedule) EndHolds(now time.Time) {
	n := s.advance(now)
	for _, h := range s.hosts {
		s.endHold(&h.party, n)
		for e := h.first; e != nil; e = e.next {
			s.endHold(&e.party, n)
		}
	}
}

func (s *Schedule) endHold(p *party, now int64) {
	if p.heldTo > now {
		s.say(p, 0)
	}
}
