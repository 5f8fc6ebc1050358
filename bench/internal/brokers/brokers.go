// Package brokers measures queues that several processes share: one that sends and one or several that deliver, beside
// the queues of a single process.
package brokers

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/server"
)

const (
	workers = 64 // of each instance, and callers of Send at the same time
	hosts   = 100
	size    = 1 << 10 // bytes of a payload
)

// Passing is how queues are measured.
type Passing struct {
	Folder  string // on the disk; files and servers' data are below
	WarmUp  int    // messages before each run, at least
	Counted int    // messages of a run as fast as it goes
	Rate    int    // messages a second of a run that measures latency
	For     time.Duration
}

// A way is a queue with so many instances that deliver.
type way struct {
	queue     string
	instances int
	sender    string        // of package senders
	server    server.Config // that it needs; zero: none
	// reach says in a configuration where the queue is: at an address under a name.
	reach func(c *senders.Config, address, name string)
}

// alone says that the queue is not shared: the process that sends delivers.
func (w way) alone() bool { return w.server.Kind == "" }

func (w way) String() string {
	if w.instances == 1 {
		return w.queue + ", 1 instance"
	}
	return fmt.Sprintf("%s, %d instances", w.queue, w.instances)
}

// asynqName is that of the sender which is compared.
const asynqName = "asynq + Redis"

func ways() []way {
	all := []way{
		{queue: result.InMemory, instances: 1, sender: result.Signpost,
			reach: func(*senders.Config, string, string) {}},
		{queue: result.InFile, instances: 1, sender: result.Signpost,
			reach: func(c *senders.Config, address, _ string) { c.File = address }},
	}
	for _, w := range []way{
		{queue: result.RabbitMQ, sender: result.Signpost, server: server.Config{Kind: server.RabbitMQ},
			reach: func(c *senders.Config, address, name string) { c.RabbitMQ, c.Name = address, name }},
		{queue: result.Kafka, sender: result.Signpost, server: server.Config{Kind: server.Kafka},
			reach: func(c *senders.Config, address, name string) { c.Kafka, c.Name = address, name }},
		{queue: result.AsynqAlways, sender: asynqName, server: server.Config{Kind: server.Redis, Fsync: "always"},
			reach: reachRedis},
		{queue: result.AsynqEverySecond, sender: asynqName, server: server.Config{Kind: server.Redis, Fsync: "everysec"},
			reach: reachRedis},
	} {
		for _, w.instances = range []int{1, 3} {
			all = append(all, w)
		}
	}
	return all
}

func reachRedis(c *senders.Config, address, name string) { c.Redis, c.Name = address, name }

// Ways is how many queues with so many instances each round measures.
func Ways() int { return len(ways()) }

// A Fleet is the servers, each of which is started when it is needed first and runs until Close. Its methods are for one
// goroutine at a time.
type Fleet struct {
	passing Passing
	running map[server.Config]*running
	names   int // queues that were made so far
	rounds  int // of each kind
}

// running is a server.
type running struct {
	process *child.Process
	folder  string // of its data
	started server.Started
}

// NewFleet returns a fleet of which nothing runs yet.
func NewFleet(p Passing) *Fleet { return &Fleet{passing: p, running: map[server.Config]*running{}} }

// Close ends the servers, and what they held is gone.
func (f *Fleet) Close() {
	for _, r := range f.running {
		r.process.Call(context.Background(), "server.Stop", struct{}{}, nil) // in time, which Close doesn't give it
		r.process.Close()
		os.RemoveAll(r.folder)
	}
	clear(f.running)
}

// Throughput measures every queue once, as fast as it goes, and adds that to b.
func (f *Fleet) Throughput(ctx context.Context, b *result.Brokers) error {
	return f.round(ctx, b, func(r *rig, p *result.Passage) error {
		passed, err := r.throughput(ctx, f.passing)
		p.Runs = append(p.Runs, passed)
		return err
	})
}

// Latency measures the latency of every queue once, and adds that to b.
func (f *Fleet) Latency(ctx context.Context, b *result.Brokers) error {
	return f.round(ctx, b, func(r *rig, p *result.Passage) error {
		lag, err := r.latency(ctx, f.passing)
		p.Lags = append(p.Lags, lag)
		return err
	})
}

// round measures every queue, each time in another order and in new processes.
func (f *Fleet) round(ctx context.Context, b *result.Brokers, measure func(*rig, *result.Passage) error) error {
	b.Senders, b.Workers, b.Hosts, b.Rate = workers, workers, hosts, f.passing.Rate
	turn := ways()
	for _, w := range turn { // tables have them in this order
		if err := f.start(ctx, w, b); err != nil {
			return fmt.Errorf("brokers: %s: %w", w.queue, err)
		}
	}
	if f.rounds++; f.rounds%2 == 0 {
		slices.Reverse(turn)
	}
	for _, w := range turn {
		p := b.Passage(w.queue, w.instances)
		if p == nil { // its server is missing
			continue
		}
		err := func() error {
			r, err := f.open(ctx, w)
			if err != nil {
				return err
			}
			defer r.close()
			return measure(r, p)
		}()
		if err != nil {
			return fmt.Errorf("brokers: %v: %w", w, err)
		}
	}
	return nil
}

// run starts a server.
func (f *Fleet) run(ctx context.Context, c server.Config) (*running, error) {
	folder, err := os.MkdirTemp(f.passing.Folder, "signpost-bench-server-")
	if err != nil {
		return nil, err
	}
	p, err := child.Start(ctx, server.Role, c.Kind)
	if err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	r := &running{process: p, folder: folder}
	f.running[c] = r // also if it doesn't start: Close ends it
	c.Folder = folder
	return r, p.Call(ctx, "server.Start", c, &r.started)
}

// start sees to it that the server of a queue runs, and that b has the queue: among those that are measured, or those that
// are not.
func (f *Fleet) start(ctx context.Context, w way, b *result.Brokers) error {
	r, ok := f.running[w.server]
	if !ok && !w.alone() {
		var err error
		if r, err = f.run(ctx, w.server); err != nil {
			return err
		}
	}
	if r != nil {
		if r.started.Missing != "" {
			if missing := (result.Missing{Queue: w.queue, Why: r.started.Missing}); !slices.Contains(b.Missing, missing) {
				b.Missing = append(b.Missing, missing)
			}
			return nil
		}
		if v := (result.Version{Name: w.server.Kind, Version: r.started.Version}); v.Version != "" && !slices.Contains(b.Servers, v) {
			b.Servers = append(b.Servers, v)
		}
	}
	if b.Passage(w.queue, w.instances) == nil {
		b.Passages = append(b.Passages, result.Passage{Queue: w.queue, Instances: w.instances})
	}
	return nil
}
