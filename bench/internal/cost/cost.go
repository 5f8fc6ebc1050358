// Package cost measures the CPU time that senders take for a delivered message, when they send as fast as it goes.
package cost

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
	buffer  = 1000
	timeout = 10 * time.Second
)

// A Cell is one condition under which senders are compared.
type Cell struct {
	Payload int // bytes
	TLS     bool
	Hosts   int
	Pairs   int // runs of signpost and the loop
	Others  int // runs of the other senders, each right after a pair
	WarmUp  int // messages that open the connections
	Counted int // messages that are counted
}

// Cells are all that are measured.
func Cells() []Cell {
	var cells []Cell
	for _, secure := range []bool{false, true} {
		for _, hosts := range []int{1, 100} {
			for _, payload := range []int{200, 1 << 10, 16 << 10} {
				c := Cell{Payload: payload, TLS: secure, Hosts: hosts, Pairs: 5, WarmUp: 2000, Counted: 10_000}
				if payload > 10_000 {
					c.Counted = 5000 // whose signatures and copies alone take long
				}
				if secure {
					c.WarmUp = 8000 // connections are opened as they are needed, and a handshake costs as much as ten messages
				}
				if payload == 1<<10 && !secure {
					c.Pairs = 7
					if hosts == 100 {
						c.Others = 3
					}
				}
				cells = append(cells, c)
			}
		}
	}
	return cells
}

// Quick returns a cell that takes about a second, and shows nothing but that it works.
func (c Cell) Quick() Cell {
	c.Pairs, c.Others, c.WarmUp, c.Counted = 1, min(c.Others, 1), 100, 400
	return c
}

// Expected is about how long Run takes.
func (c Cell) Expected() time.Duration {
	runs := 2*c.Pairs + (len(senders.Kinds())-2)*c.Others
	message := 50*time.Microsecond + time.Duration(c.Payload)*4*time.Nanosecond
	return time.Duration(runs) * (300*time.Millisecond + time.Duration(c.WarmUp+c.Counted)*message)
}

// String describes the cell: "1024 B, TLS, 100 hosts".
func (c Cell) String() string {
	scheme, hosts := "plain HTTP", "1 host"
	if c.TLS {
		scheme = "TLS"
	}
	if c.Hosts > 1 {
		hosts = fmt.Sprintf("%d hosts", c.Hosts)
	}
	return fmt.Sprintf("%d B, %s, %s", c.Payload, scheme, hosts)
}

// Run measures all senders of the cell. The i-th runs of two senders are made one after the other, in an order that
// changes each time.
func (c Cell) Run(ctx context.Context) ([]result.Cost, error) {
	var costs []result.Cost
	for _, k := range senders.Kinds() {
		paired := k.Name == result.Signpost || k.Name == result.Loop
		if paired || c.Others > 0 {
			costs = append(costs, result.Cost{Sender: k.Name, Payload: c.Payload, TLS: c.TLS, Hosts: c.Hosts})
		}
	}
	for pair := range max(c.Pairs, c.Others) {
		turn := make([]int, 0, len(costs))
		for i, m := range costs {
			paired := m.Sender == result.Signpost || m.Sender == result.Loop
			if paired && pair < c.Pairs || !paired && pair < c.Others {
				turn = append(turn, i)
			}
		}
		if pair%2 == 1 {
			slices.Reverse(turn)
		}
		for _, i := range turn {
			used, err := c.measure(ctx, costs[i].Sender)
			if err != nil {
				return nil, fmt.Errorf("cost: %v: %w", c, err)
			}
			costs[i].Runs = append(costs[i].Runs, used.Per(c.Counted))
		}
	}
	return costs, nil
}

// measure has a sender deliver the cell's messages, in a new process.
func (c Cell) measure(ctx context.Context, sender string) (client.Usage, error) {
	t, err := trial.Open(ctx,
		receiver.Config{Messages: c.WarmUp + c.Counted, Hosts: make([]receiver.Host, c.Hosts), TLS: c.TLS},
		client.Config{
			Sender: sender,
			Senders: senders.Config{
				Workers: workers, Buffer: buffer, Timeout: timeout, Wait: time.Second, HostConcurrency: workers, Backpressure: true,
			},
			Payload: c.Payload,
		})
	if err != nil {
		return client.Usage{}, err
	}
	defer t.Close()
	if _, err := t.Deliver(ctx, 0, c.WarmUp); err != nil {
		return client.Usage{}, err
	}
	return t.Deliver(ctx, c.WarmUp, c.Counted)
}
