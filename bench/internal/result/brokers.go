package result

import "time"

// The queues between processes that are compared, and those of one process beside them.
const (
	InMemory         = "in memory"
	InFile           = "SQLite"
	RabbitMQ         = "RabbitMQ"
	Kafka            = "Kafka"
	AsynqAlways      = "asynq + Redis, fsync always"
	AsynqEverySecond = "asynq + Redis, fsync every second"
)

// Brokers is what was measured of queues that several processes share. A part that was not run is empty.
type Brokers struct {
	Senders  int // that call Send at the same time
	Workers  int // of each instance
	Hosts    int
	Rate     int       // messages offered a second, where latency is measured
	Servers  []Version // those that were measured
	Missing  []Missing
	Passages []Passage
}

// Missing is a queue that was not measured.
type Missing struct{ Queue, Why string }

// A Passage is what was measured of a queue with so many instances that deliver. The i-th runs of all were made one after
// the other.
type Passage struct {
	Queue     string
	Instances int
	Runs      []Passed
	Lags      []Lag
}

// Passed is one run of so many messages, as fast as it goes: from the first Send until the last one was settled.
type Passed struct {
	Messages   int
	Duplicates int // requests beyond one a message
	Took       time.Duration
	CPU        time.Duration // of the process that sends and those that deliver
	Server     time.Duration // CPU time of the server's processes
}

// Rate is messages a second.
func (p Passed) Rate() float64 { return float64(p.Messages) / p.Took.Seconds() }

// CPUPer is the CPU time for each message of the processes that send and deliver.
func (p Passed) CPUPer() time.Duration { return p.CPU / time.Duration(max(1, p.Messages)) }

// ServerPer is the CPU time for each message of the server.
func (p Passed) ServerPer() time.Duration { return p.Server / time.Duration(max(1, p.Messages)) }

// A Lag is one run at a moderate rate: the time from when a message was to be sent to its first arrival.
type Lag struct {
	Messages      int
	P50, P99, Max time.Duration
}

// Passage returns what was measured of a queue with so many instances; nil if it wasn't.
func (b *Brokers) Passage(queue string, instances int) *Passage {
	for i := range b.Passages {
		if p := &b.Passages[i]; p.Queue == queue && p.Instances == instances {
			return p
		}
	}
	return nil
}
