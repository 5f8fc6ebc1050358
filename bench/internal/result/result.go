// Package result holds what a run of the benchmarks has measured: the parts that measure fill it in, and package
// report shows it. It has no behaviour beyond arithmetic.
package result

import (
	"slices"
	"time"
)

// Signpost and Loop are the senders that figures are compared with: this library, and a bare loop around
// http.Client that signs and POSTs and does nothing else.
const (
	Signpost = "signpost"
	Loop     = "http.Client loop"
)

// A Report is everything that one run has measured. A part that was not run is empty.
type Report struct {
	Date       time.Time
	Took       time.Duration
	Machine    Machine
	Senders    []Sender   // in the order in which tables and pictures show them
	Together   []Scenario // every sender at the same time, each in a process of its own
	Apart      bool       // Together was measured one sender after the other
	Alone      []Scenario // signpost with the machine to itself; a scenario that was run several times is there several times
	Costs      []Cost
	Benchmarks []Benchmark
	Limits     []Limit
	Reconnects []Reconnect
	Durable    Durable
	Brokers    Brokers
}

// A Machine says where the run was made.
type Machine struct {
	Processor string
	Cores     int
	Memory    int64 // bytes
	Kernel    string
	Go        string
	Versions  []Version // of the libraries and servers compared
}

// A Version is one of a module, or of a server.
type Version struct{ Name, Version string }

// A Sender is one way to send webhooks.
type Sender struct {
	Name  string
	About string // one sentence: what it is built from and how it was set up
}

// A Scenario is one condition of the receivers, and how the senders fared under it.
type Scenario struct {
	Name      string // short, the same for every run of it: "hung"
	About     string // one sentence
	Rate      int    // messages offered a second
	Duration  time.Duration
	Workers   int
	Timeout   time.Duration
	Isolation []Isolation // by sender
}

// By returns what was measured of a sender.
func (s Scenario) By(sender string) (Isolation, bool) {
	i := slices.IndexFunc(s.Isolation, func(i Isolation) bool { return i.Sender == sender })
	if i < 0 {
		return Isolation{}, false
	}
	return s.Isolation[i], true
}

// Isolation is how the messages to healthy receivers fared beside the bad ones. Latency is counted from the moment
// at which a message was to be sent to its first arrival: a sender that blocks its caller is late, too.
type Isolation struct {
	Sender        string
	Healthy       int // messages offered to healthy receivers
	Refused       int // … that the sender's Send returned an error for
	Arrived       int // … that had arrived a second after the last one was offered
	P50, P99, Max time.Duration
	Connections   int           // most open at bad receivers at any time
	Goroutines    int           // most at any time
	Memory        int64         // peak resident bytes of the process
	CPU           time.Duration // user and system, of the process
	Timeline      []Second
}

// A Second is what became of the healthy messages offered in one second of a run.
type Second struct {
	Offered, Arrived int
	P50, P99, Max    time.Duration // of those that arrived
}

// A Cost is the CPU time that a sender takes for one delivered message. The i-th runs of two senders under the same
// condition were made one after the other: they are a pair.
type Cost struct {
	Sender  string
	Payload int // bytes
	TLS     bool
	Hosts   int
	Runs    []Usage
}

// Usage is CPU time divided by delivered messages.
type Usage struct {
	User, System time.Duration // of the sender's process
	Beside       time.Duration // of a server that the sender needs: Redis
}

// Total is the CPU time of the sender's process.
func (u Usage) Total() time.Duration { return u.User + u.System }

// A Benchmark is a function of Go's testing package, run several times.
type Benchmark struct {
	Name   string // without "Benchmark" and the number of processors
	Values []Value
}

// A Value is what the runs have measured in one unit: "ns/op", "allocs/op".
type Value struct {
	Unit string
	Runs []float64
}

// Median returns the median of the runs in a unit, and whether there is one.
func (b Benchmark) Median(unit string) (float64, bool) {
	for _, v := range b.Values {
		if v.Unit == unit {
			return Median(v.Runs), len(v.Runs) > 0
		}
	}
	return 0, false
}

// A Limit is what hosts received under a rate limit.
type Limit struct {
	About    string // one sentence
	Hosts    int    // that were counted
	Rate     float64
	Burst    int
	Offered  float64 // messages a second, to each of them
	Duration time.Duration
	Allowed  float64 // by the limit: burst + rate × duration
	Min, Max int     // received by the host that got least and most
	Median   float64
	Beside   Isolation // of the hosts that kept within their limit; zero if there were none
}

// A Reconnect is what deliveries cost that open a new TLS connection each.
type Reconnect struct {
	SessionCache bool
	Hosts        int
	Resumed      float64 // part of the handshakes that resumed a session
	Runs         []Usage
}

// Median returns the median of v, which stays as it is; 0 if there is none.
func Median[N float64 | time.Duration](v []N) N {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
