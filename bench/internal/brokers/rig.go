package brokers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/isolation"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
)

const (
	timeout  = 10 * time.Second // of an attempt
	patience = 2 * time.Minute  // with what is sent as fast as it goes
	joining  = time.Minute      // that instances have to take part
	batch    = 200              // messages that are sent until all do
	pause    = 100 * time.Millisecond
	most     = int(joining/pause) * batch // of them
)

// A rig is the processes of one run. Its methods are for one goroutine at a time.
type rig struct {
	way       way
	folder    string         // of what is in files
	server    *child.Process // nil: there is none
	receivers *child.Process
	producer  *child.Process
	instances []*child.Process // the producer alone, where the queue isn't shared
	sent      int              // messages so far
}

// open starts the processes for one run with a new queue.
func (f *Fleet) open(ctx context.Context, w way) (*rig, error) {
	r := &rig{way: w}
	if err := f.fill(ctx, r); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (f *Fleet) fill(ctx context.Context, r *rig) (err error) {
	secret := signpost.NewSecret().Reveal()
	if r.receivers, err = child.Start(ctx, receiver.Role, "receivers of "+r.way.queue); err != nil {
		return err
	}
	var opened receiver.Opened
	counted := max(f.passing.Counted, f.passing.offered())
	rc := receiver.Config{Secret: secret, Messages: f.passing.WarmUp + most + counted, Hosts: make([]receiver.Host, hosts)}
	if err := r.receivers.Call(ctx, "receiver.Open", rc, &opened); err != nil {
		return err
	}
	c := client.Config{
		Sender: r.way.sender,
		Senders: senders.Config{
			Secret: secret, Workers: workers, Buffer: 1000, Timeout: timeout, Wait: time.Second, HostConcurrency: workers,
			Backpressure: true, Count: true, SendOnly: !r.way.alone(),
		},
		Payload: size, Producers: workers, URLs: opened.URLs, Order: make([]int, len(opened.URLs)),
	}
	for i := range c.Order {
		c.Order[i] = i
	}
	if r.folder, err = os.MkdirTemp(f.passing.Folder, "signpost-bench-queue-"); err != nil {
		return err
	}
	address := filepath.Join(r.folder, "queue.db")
	if !r.way.alone() {
		at := f.running[r.way.server]
		r.server, address = at.process, at.started.Address
	}
	f.names++
	r.way.reach(&c.Senders, address, fmt.Sprintf("bench-%d", f.names))

	start := func(name string) (*child.Process, error) {
		p, err := child.Start(ctx, client.Role, name)
		if err != nil {
			return nil, err
		}
		if err := p.Call(ctx, "sender.Open", c, nil); err != nil {
			p.Close()
			return nil, err
		}
		return p, nil
	}
	if r.producer, err = start("producer, " + r.way.queue); err != nil {
		return err
	}
	if r.way.alone() {
		r.instances = []*child.Process{r.producer}
		return nil
	}
	c.Senders.SendOnly = false
	r.instances = make([]*child.Process, r.way.instances)
	var g errgroup.Group
	for i := range r.instances {
		g.Go(func() (err error) {
			r.instances[i], err = start(fmt.Sprintf("instance %d, %s", i+1, r.way.queue))
			return err
		})
	}
	return g.Wait()
}

// close ends the processes, but not the server.
func (r *rig) close() {
	for _, p := range append([]*child.Process{r.producer, r.receivers}, r.instances...) {
		if p != nil {
			p.Close() // again is harmless
		}
	}
	if r.folder != "" {
		os.RemoveAll(r.folder)
	}
}

// warm sends messages until there were enough and every instance has delivered some.
func (r *rig) warm(ctx context.Context, least int) error {
	if _, err := r.deliver(ctx, least); err != nil {
		return err
	}
	for sent := 0; ; sent += batch {
		idle := 0
		for _, p := range r.instances {
			var count senders.Count
			if err := p.Call(ctx, "sender.Count", struct{}{}, &count); err != nil {
				return err
			}
			if count.Delivered == 0 {
				idle++
			}
		}
		if idle == 0 {
			return nil
		}
		if sent >= most {
			return fmt.Errorf("%d of %d instances have delivered none of %d messages", idle, len(r.instances), r.sent)
		}
		select {
		case <-time.After(pause): // an instance may be joining
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := r.deliver(ctx, batch); err != nil {
			return err
		}
	}
}

// deliver sends messages as fast as it goes, and returns how long it took until the last one was settled.
func (r *rig) deliver(ctx context.Context, count int) (time.Duration, error) {
	start := clock.Now()
	if _, err := r.load(ctx, client.Load{Count: count, Start: start}); err != nil {
		return 0, err
	}
	end, err := r.settled(ctx)
	return end.Sub(start), err
}

// load sends messages, and returns when all have arrived. First is filled in.
func (r *rig) load(ctx context.Context, l client.Load) (client.Load, error) {
	l.First = r.sent
	r.sent += l.Count
	if err := r.receivers.Call(ctx, "receiver.Start", l.Start, nil); err != nil {
		return l, err
	}
	var loaded client.Loaded
	if err := r.producer.Call(ctx, "sender.Load", l, &loaded); err != nil {
		return l, err
	}
	if n := len(loaded.Refused); n > 0 {
		return l, fmt.Errorf("%d of %d messages were refused: %s", n, l.Count, loaded.Refusal)
	}
	return l, r.receivers.Call(ctx, "receiver.Wait", receiver.Expected{Messages: r.sent, Patience: patience}, nil)
}

// settled returns when all that was sent is settled, and when that was.
func (r *rig) settled(ctx context.Context) (last clock.Time, err error) {
	for give := clock.Now().Add(patience); ; clock.Sleep(clock.Now().Add(time.Millisecond)) {
		settled := 0
		for _, p := range r.instances {
			var count senders.Count
			if err := p.Call(ctx, "sender.Count", struct{}{}, &count); err != nil {
				return 0, err
			}
			last = max(last, count.Last)
			settled += count.Settled
			if count.Shared {
				break
			}
		}
		switch {
		case settled >= r.sent:
			return last, nil
		case clock.Now() > give:
			return 0, fmt.Errorf("%d of %d messages are settled after %v", settled, r.sent, patience)
		}
	}
}

func (r *rig) throughput(ctx context.Context, p Passing) (passed result.Passed, err error) {
	if err := r.warm(ctx, p.WarmUp); err != nil {
		return passed, err
	}
	before, err := r.report(ctx)
	if err != nil {
		return passed, err
	}
	for _, i := range r.instances {
		if err := i.Call(ctx, "sender.Begin", struct{}{}, nil); err != nil {
			return passed, err
		}
	}
	server, err := r.serverCPU(ctx)
	if err != nil {
		return passed, err
	}
	passed.Messages = p.Counted
	if passed.Took, err = r.deliver(ctx, p.Counted); err != nil {
		return passed, err
	}
	if passed.CPU, err = r.cpu(ctx); err != nil {
		return passed, err
	}
	passed.Server, err = r.serverCPU(ctx)
	passed.Server -= server
	if err != nil {
		return passed, err
	}
	after, err := r.report(ctx)
	passed.Duplicates = after.Duplicates - before.Duplicates
	return passed, err
}

// offered is how many messages a run has that measures latency.
func (p Passing) offered() int { return int(time.Duration(p.Rate) * p.For / time.Second) }

func (r *rig) latency(ctx context.Context, p Passing) (lag result.Lag, err error) {
	if err := r.warm(ctx, p.WarmUp); err != nil {
		return lag, err
	}
	l, err := r.load(ctx, client.Load{Count: p.offered(), Start: clock.Now(), Interval: time.Second / time.Duration(p.Rate)})
	if err != nil {
		return lag, err
	}
	l.End = clock.Now() // all have arrived
	report, err := r.report(ctx)
	if err != nil {
		return lag, err
	}
	m := isolation.Judge(l, client.Loaded{}, report, func(int) bool { return true })
	return result.Lag{Messages: m.Arrived, P50: m.P50, P99: m.P99, Max: m.Max}, nil
}

func (r *rig) report(ctx context.Context) (report receiver.Report, err error) {
	err = r.receivers.Call(ctx, "receiver.Report", struct{}{}, &report)
	return report, err
}

// cpu is what the processes that send and deliver have used since the load began.
func (r *rig) cpu(ctx context.Context) (total time.Duration, err error) {
	of := r.instances
	if !r.way.alone() {
		of = append([]*child.Process{r.producer}, of...)
	}
	for _, p := range of {
		var used client.Usage
		if err := p.Call(ctx, "sender.Usage", struct{}{}, &used); err != nil {
			return 0, err
		}
		total += used.CPU.Total()
	}
	return total, nil
}

func (r *rig) serverCPU(ctx context.Context) (taken time.Duration, err error) {
	if r.server == nil {
		return 0, nil
	}
	err = r.server.Call(ctx, "server.CPU", struct{}{}, &taken)
	return taken, err
}
