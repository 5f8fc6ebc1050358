package result

import "time"

// The ways to make messages durable that are compared.
const (
	Group  = "signpost, queue in a file"                   // queue/sqlite: one transaction for many callers
	Single = "one transaction per message, one connection" // the same table, written by hand through database/sql
	Pool   = "one transaction per message, 4 connections"  // likewise, by connections that wait for each other
)

// Durable is what was measured of the queue in a file. A part that was not run is empty.
type Durable struct {
	Fsync    time.Duration // median time of a 4 KiB write and its fsync on the disk of the run
	Writes   []Write
	NotSlow  string // why there are no writes to a simulated slower disk; empty if there are
	Ends     []End
	Size     Size
	Takes    []Take
	Backlogs []Scenario // a scenario that was run several times is there several times
}

// A Write is how fast a way makes messages durable. The i-th runs of all ways under the same condition were made one
// after the other.
type Write struct {
	Way       string
	Producers int
	Delay     time.Duration // by which fsync was made slower; 0 for the disk as it is
	Runs      []Written
}

// Written is one run of so many messages.
type Written struct {
	Messages, Commits int // each commit waits for one fsync
	Took, CPU         time.Duration
}

// Rate is messages a second.
func (w Written) Rate() float64 { return float64(w.Messages) / w.Took.Seconds() }

// An End is how fast messages go from Send to delivered and settled.
type End struct {
	Durable bool // the queue is in a file
	Runs    []Ended
}

// Ended is one run of so many messages.
type Ended struct {
	Messages  int
	Took, CPU time.Duration
}

// Rate is messages a second.
func (e Ended) Rate() float64 { return float64(e.Messages) / e.Took.Seconds() }

// Size is what messages of 1 KiB take on the disk.
type Size struct {
	Messages           int
	Pending, Delivered int64 // bytes of the file: while all wait, and when each was delivered by one attempt
}

// A Take is what it costs to receive messages from a file in which many wait.
type Take struct {
	Due     int             // messages that wait and are due
	Later   int             // … that are not
	Settled bool            // each was settled, too
	Runs    []time.Duration // CPU time for each message
}

// The names of the scenarios of Backlogs.
const (
	NoBacklog      = "nothing waits"
	BacklogHangs   = "many wait for one that hangs"
	BacklogRefuses = "many wait for one that refuses"
)
