package main

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-go/signpost/bench/internal/brokers"
	"github.com/signpost-go/signpost/bench/internal/progress"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// brokers measures queues that several processes share. Their servers run until the task is closed.
func (t *task) brokers(r *result.Report) (steps []progress.Step) {
	b := &r.Brokers
	p := brokers.Passing{Folder: t.disk, WarmUp: 2000, Counted: 20_000, Rate: 200, For: 4 * time.Second}
	passing, waiting := 7*time.Second, p.For+2*time.Second
	rounds := []int{3, 2}
	if t.quick {
		p.WarmUp, p.Counted, p.Rate, p.For = 100, 400, 100, 500*time.Millisecond
		passing, waiting = time.Second, time.Second
		rounds = []int{1, 1}
	}
	fleet := brokers.NewFleet(p)
	t.ends = append(t.ends, fleet.Close)
	for i, kind := range []struct {
		name string
		each time.Duration
		run  func(context.Context, *result.Brokers) error
	}{{"messages/s", passing, fleet.Throughput}, {"latency", waiting, fleet.Latency}} {
		for n := range rounds[i] {
			steps = append(steps, progress.Step{
				Name:     fmt.Sprintf("brokers: %s (%d of %d)", kind.name, n+1, rounds[i]),
				Expected: time.Duration(brokers.Ways()) * kind.each,
				Run:      func(ctx context.Context) error { return kind.run(ctx, b) },
			})
		}
	}
	return steps
}
