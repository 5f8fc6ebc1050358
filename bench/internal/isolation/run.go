package isolation

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

// What senders are offered.
const (
	rate    = 1000 // messages a second
	size    = 1024 // bytes of a payload
	buffer  = 10_000
	grace   = time.Second // that messages have to arrive after the last was offered
	warning = 300 * time.Millisecond
)

// Senders are the names of those that are compared: all that have a queue.
func Senders() []string {
	var names []string
	for _, k := range senders.Kinds() {
		if k.Queue {
			names = append(names, k.Name)
		}
	}
	return names
}

// Run offers the same messages to all of the named senders at the same time, each with receivers of its own. It takes
// duration and a second or two.
func (s Scenario) Run(ctx context.Context, duration time.Duration, names ...string) (result.Scenario, error) {
	measured := result.Scenario{
		Name: s.Name, About: s.About, Rate: rate, Duration: duration, Workers: s.Workers, Timeout: s.Timeout,
		Isolation: make([]result.Isolation, len(names)),
	}
	messages := int(duration * rate / time.Second)
	trials := make([]*trial.Trial, len(names))
	defer func() {
		for _, t := range trials {
			if t != nil {
				t.Close()
			}
		}
	}()
	var opening errgroup.Group
	for i, name := range names {
		opening.Go(func() (err error) {
			trials[i], err = trial.Open(ctx, s.receivers(i, messages, duration), s.client(name))
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		return measured, err
	}
	load := client.Load{Count: messages, Start: clock.Now().Add(warning), Interval: time.Second / rate}
	load.End = load.Time(messages - 1).Add(grace)
	offering, ctx := errgroup.WithContext(ctx)
	for i, t := range trials {
		offering.Go(func() (err error) {
			measured.Isolation[i], err = s.offer(ctx, t, load)
			measured.Isolation[i].Sender = names[i]
			return err
		})
	}
	return measured, offering.Wait()
}

// RunApart is Run for one sender after the other.
func (s Scenario) RunApart(ctx context.Context, duration time.Duration, names ...string) (all result.Scenario, err error) {
	for i, name := range names {
		one, err := s.Run(ctx, duration, name)
		if err != nil {
			return all, err
		}
		if i == 0 {
			all = one
			continue
		}
		all.Isolation = append(all.Isolation, one.Isolation...)
	}
	return all, nil
}

func (s Scenario) receivers(block, messages int, duration time.Duration) receiver.Config {
	return receiver.Config{Block: block, Messages: messages, Hosts: s.hosts(duration)}
}

func (s Scenario) client(sender string) client.Config {
	return client.Config{
		Sender:  sender,
		Senders: senders.Config{Workers: s.Workers, Buffer: buffer, Timeout: s.Timeout, Wait: time.Second},
		Order:   s.order(),
		Payload: size,
	}
}

func (s Scenario) offer(ctx context.Context, t *trial.Trial, load client.Load) (result.Isolation, error) {
	loaded, used, err := t.Offer(ctx, load)
	if err != nil {
		return result.Isolation{}, err
	}
	report, err := t.Report(ctx)
	if err != nil {
		return result.Isolation{}, err
	}
	order := s.order()
	m := Judge(load, loaded, report, func(message int) bool { return s.healthy(order[message%len(order)]) })
	m.Connections = report.BadMost
	m.Goroutines = used.Goroutines
	m.Memory = used.Memory
	m.CPU = used.CPU.Total()
	return m, nil
}
