// Package receiver serves many webhook hosts from one process: each on a loopback address of its own, each behaving
// as it is told. It verifies every request, and records when each message came first.
package receiver

import (
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/clock"
)

// Config says what to serve.
type Config struct {
	Secret   string // whsec_…, with which every request must be signed
	Messages int    // the numbers of the messages are below it
	Block    int    // 0 to 100: the hosts' addresses are 127.(Block+10).…, apart from those of other blocks
	Hosts    []Host
	TLS      bool // with certificates of a CA made for the purpose
	Once     bool // every connection is closed after one answer
}

// A Host is a server with an address of its own.
type Host struct {
	Behaviour Behaviour
	// Endpoints behave otherwise than their host: the i-th is the path /i. With none, every path behaves as
	// the host does.
	Endpoints []Behaviour
}

// A Behaviour is how requests are answered. The zero Behaviour answers 200 without a body.
type Behaviour struct {
	Kind   Kind
	Delay  time.Duration // of Slow
	Status int           // of Status
	After  time.Duration // OK until so long after the start
}

// Kind is a kind of behaviour.
type Kind string

// The kinds of behaviour.
const (
	OK     Kind = ""
	Slow   Kind = "slow"   // 200, late
	Hang   Kind = "hang"   // nothing, until the sender hangs up
	Status Kind = "status" // a status code at once
	Drip   Kind = "drip"   // the response's head a byte a second
	Refuse Kind = "refuse" // no connection is accepted; for a whole host
)

// Bad tells whether the behaviour ever differs from OK.
func (b Behaviour) Bad() bool { return b.Kind != OK }

// at is the behaviour at time now, if the run started at start; 0: not yet.
func (b Behaviour) at(start, now clock.Time) Behaviour {
	if b.After > 0 && (start == 0 || now < start.Add(b.After)) {
		return Behaviour{}
	}
	return b
}

func (c Config) validate() error {
	if len(c.Hosts) == 0 || len(c.Hosts) > 60_000 || c.Block < 0 || c.Block > 100 || c.Messages < 0 {
		return fmt.Errorf("receiver: %d hosts, block %d, %d messages: give 1 to 60,000, 0 to 100, and 0 or more", len(c.Hosts), c.Block, c.Messages)
	}
	for i, h := range c.Hosts {
		for n, b := range append([]Behaviour{h.Behaviour}, h.Endpoints...) {
			switch {
			case b.Kind == Refuse && (n > 0 || b.After > 0):
				return fmt.Errorf("receiver: host %d: a host refuses connections to all its endpoints, and from the beginning", i)
			case slices.Contains([]Kind{OK, Slow, Hang, Status, Drip, Refuse}, b.Kind):
			default:
				return fmt.Errorf("receiver: host %d: there is no behaviour %q", i, b.Kind)
			}
		}
	}
	return nil
}
