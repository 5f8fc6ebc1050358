package schedule

// A party is what takes turns: a host among all hosts, an endpoint among its host's endpoints.
type party struct {
	gate
	holdGate
	key      string
	order    *turns    // where it takes its turns
	host     *host     // the host itself, or the endpoint's
	endpoint *endpoint // nil for a host
	stamp    int64     // sequence number of its last turn, or of when it last began to have due messages
	ready    int32     // its place in order.sound or order.failing
	timer    int32     // its place in Schedule.timers
	suspect  bool      // it stands in order.failing, or would
	due      int       // messages that are due
	held     int       // messages in all: due, waiting, in flight
	taken    int       // … of them, those that are only told of: see Schedule.take
	bytes    int64     // payload bytes of held
	idleTo   int64     // when it may be forgotten if it stays without messages, 0 while it has some
}

// turns is whose turn it is among parties that may have one: the party with the fewest attempts in flight,
// and among equals the one whose last turn is longest ago. Sound and failing parties stand apart, because the
// failing ones may hold only so many attempts together.
type turns struct {
	sound, failing heap[readyParty]
	suspects       int // attempts in flight of failing parties
}

type readyParty struct{ *party }

func (p readyParty) place() int32     { return p.ready }
func (p readyParty) setPlace(i int32) { p.ready = i }

type timedParty struct{ *party }

func (p timedParty) place() int32     { return p.timer }
func (p timedParty) setPlace(i int32) { p.timer = i }

// stampBits is the part of a turn's key that orders equals: 2^48 turns are 89 years at 100,000 a second.
// What is left of the key holds the attempts in flight, which MaxWindow bounds.
const stampBits = 48

// MaxWindow is the largest window that a schedule can be given.
const MaxWindow = 1 << (62 - stampBits)

func (p *party) turnKey() int64 { return int64(p.inFlight)<<stampBits | p.stamp }

// enter gives p a place among those that may have a turn, or corrects it.
func (t *turns) enter(p *party) {
	if p.suspect {
		t.failing.set(readyParty{p}, p.turnKey())
	} else {
		t.sound.set(readyParty{p}, p.turnKey())
	}
}

// leave takes p's place away.
func (t *turns) leave(p *party) {
	if p.suspect {
		t.failing.remove(readyParty{p})
	} else {
		t.sound.remove(readyParty{p})
	}
}

// next is the party whose turn it is when the failing ones may together have at most half attempts in flight;
// nil if there is none.
func (t *turns) next(half int) *party {
	if t.failing.len() == 0 || t.suspects >= half {
		if t.sound.len() == 0 {
			return nil
		}
		_, p := t.sound.min()
		return p.party
	}
	key, p := t.failing.min()
	if t.sound.len() > 0 {
		if k, q := t.sound.min(); k < key {
			p = q
		}
	}
	return p.party
}

// begin and end count an attempt of p in flight.
func (p *party) begin(seq int64) {
	p.stamp = seq
	p.inFlight++
	if p.suspect {
		p.order.suspects++
	}
}

func (p *party) end() {
	p.inFlight--
	if p.suspect {
		p.order.suspects--
	}
}

// judge moves p between the sound and the failing after its gate has learned something.
func (p *party) judge() {
	if p.failing() == p.suspect {
		return
	}
	p.order.leave(p)
	p.suspect = !p.suspect
	if p.suspect {
		p.order.suspects += p.inFlight
	} else {
		p.order.suspects -= p.inFlight
	}
}
