package durable

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

const (
	workers = 64
	size    = 1 << 10 // bytes of a payload
)

// Delivering is a condition under which messages go all the way.
type Delivering struct {
	Folder          string // on the disk
	WarmUp, Counted int    // messages
	Rounds          int    // of a run with a queue in a file, and one with a queue in memory
}

// Run measures both queues, in pairs of runs whose order changes.
func (d Delivering) Run(ctx context.Context) ([]result.End, error) {
	ends := []result.End{{Durable: true}, {Durable: false}}
	turn := []int{0, 1}
	for range d.Rounds {
		for _, i := range turn {
			run, err := d.measure(ctx, ends[i].Durable)
			if err != nil {
				return nil, fmt.Errorf("durable: end to end: %w", err)
			}
			ends[i].Runs = append(ends[i].Runs, run)
		}
		slices.Reverse(turn)
	}
	return ends, nil
}

// measure has messages sent to 100 hosts as fast as it goes by 64 callers of Send.
func (d Delivering) measure(ctx context.Context, durable bool) (result.Ended, error) {
	c := client.Config{
		Sender: result.Signpost,
		Senders: senders.Config{
			Workers: workers, Buffer: 1000, Timeout: 10 * time.Second, Wait: time.Second, HostConcurrency: workers,
			Backpressure: true, Count: true,
		},
		Payload: size, Producers: workers,
	}
	if durable {
		f, err := newFile(d.Folder)
		if err != nil {
			return result.Ended{}, err
		}
		defer f.remove()
		c.Senders.File = f.path()
	}
	t, err := trial.Open(ctx, receiver.Config{Messages: d.WarmUp + d.Counted, Hosts: make([]receiver.Host, 100)}, c)
	if err != nil {
		return result.Ended{}, err
	}
	defer t.Close()
	if _, _, err := t.Settle(ctx, 0, d.WarmUp); err != nil {
		return result.Ended{}, err
	}
	took, used, err := t.Settle(ctx, d.WarmUp, d.Counted)
	return result.Ended{Messages: d.Counted, Took: took, CPU: used.CPU.Total()}, err
}
