// Package isolation measures whether bad receivers make messages to good ones late: senders are offered messages at a
// steady rate, for receivers of which some misbehave.
package isolation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/signpost-go/signpost/bench/internal/receiver"
)

// A Scenario is one condition of the receivers.
type Scenario struct {
	Name  string
	About string // one sentence

	Targets   int // hosts, or endpoints of one host
	Endpoints bool
	Behaviour func(target int, duration time.Duration) receiver.Behaviour // duration is the run's
	Busy      bool                                                        // target 0 gets half of all messages
	Workers   int                                                         // of senders that have a pool
	Timeout   time.Duration
}

// healthy tells whether the target behaves well all the time.
func (s Scenario) healthy(target int) bool { return !s.Behaviour(target, time.Second).Bad() }

// order is where message i goes: the target order[i mod len(order)].
func (s Scenario) order() []int {
	shuffled := rand.New(rand.NewPCG(1, 2)).Perm(s.Targets)
	if !s.Busy {
		return shuffled
	}
	var order []int
	for _, target := range shuffled {
		if target != 0 {
			order = append(order, 0, target)
		}
	}
	return order
}

// hosts are what the receivers must serve in a run of so long.
func (s Scenario) hosts(duration time.Duration) []receiver.Host {
	behaviours := make([]receiver.Behaviour, s.Targets)
	for i := range behaviours {
		behaviours[i] = s.Behaviour(i, duration)
	}
	if s.Endpoints {
		return []receiver.Host{{Endpoints: behaviours}}
	}
	hosts := make([]receiver.Host, s.Targets)
	for i, b := range behaviours {
		hosts[i].Behaviour = b
	}
	return hosts
}

// first makes the first n targets misbehave.
func first(n int, b receiver.Behaviour) func(int, time.Duration) receiver.Behaviour {
	return func(target int, _ time.Duration) receiver.Behaviour {
		if target < n {
			return b
		}
		return receiver.Behaviour{}
	}
}

// halfway makes the first n targets hang from the middle of the run on.
func halfway(n int) func(int, time.Duration) receiver.Behaviour {
	return func(target int, duration time.Duration) receiver.Behaviour {
		if target < n {
			return receiver.Behaviour{Kind: receiver.Hang, After: duration / 2}
		}
		return receiver.Behaviour{}
	}
}

// Scenarios are all of them, in the order in which they are run and shown.
func Scenarios() []Scenario {
	const workers, timeout = 64, 2 * time.Second
	hang := receiver.Behaviour{Kind: receiver.Hang}
	fail := receiver.Behaviour{Kind: receiver.Status, Status: http.StatusInternalServerError}
	slow := func(d time.Duration) receiver.Behaviour { return receiver.Behaviour{Kind: receiver.Slow, Delay: d} }
	return []Scenario{
		{"none", "100 healthy hosts.", 100, false, first(0, hang), false, workers, timeout},
		{"hung", "10 of 100 hosts take the request and never answer.", 100, false, first(10, hang), false, workers, timeout},
		{"halfway", "10 of 100 hosts hang from the middle of the run on.", 100, false, halfway(10), false, workers, timeout},
		{"failing", "10 of 100 hosts answer 500.", 100, false, first(10, fail), false, workers, timeout},
		{"drip", "10 of 100 hosts answer a byte a second.", 100, false, first(10, receiver.Behaviour{Kind: receiver.Drip}), false, workers, timeout},
		{"busy", "One of 100 hosts gets half of all messages and takes 200 ms for each.", 100, false, first(1, slow(200*time.Millisecond)), true, workers, timeout},
		{"endpoints", "One host of 100 healthy endpoints.", 100, true, first(0, hang), false, workers, timeout},
		{"endpoints hung", "10 of one host's 100 endpoints hang.", 100, true, first(10, hang), false, workers, timeout},
		{"endpoints failing", "10 of one host's 100 endpoints answer 500.", 100, true, first(10, fail), false, workers, timeout},
		{"slow", "50 of 100 hosts take 500 ms for each message.", 100, false, first(50, slow(500*time.Millisecond)), false, workers, timeout},
		{"mostly hung", "90 of 100 hosts hang.", 100, false, first(90, hang), false, workers, timeout},
		{"cold", "A start with 1,000 hosts, of which 100 hang for as long as they are let: timeout 15 s, 256 workers.", 1000, false, first(100, hang), false, 256, 15 * time.Second},
	}
}

// ByName returns the scenario of that name.
func ByName(name string) (Scenario, error) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("isolation: there is no scenario %q", name)
}
