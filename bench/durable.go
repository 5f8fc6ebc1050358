package main

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-go/signpost/bench/internal/disk"
	"github.com/signpost-go/signpost/bench/internal/durable"
	"github.com/signpost-go/signpost/bench/internal/progress"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// slower is what a simulated disk's fsync takes beyond that of the machine's.
const slower = 2 * time.Millisecond

func (t *task) durable(r *result.Report) []progress.Step {
	d := &r.Durable
	steps := []progress.Step{{Name: "durable: fsync", Expected: time.Second, Run: func(context.Context) (err error) {
		d.Fsync, err = disk.Fsync(t.disk, 300)
		return err
	}}}
	steps = append(steps, t.durableWrites(d)...)
	steps = append(steps, t.waiting(d)...)

	delivering := durable.Delivering{Folder: t.disk, WarmUp: 2000, Counted: 15_000, Rounds: 3}
	sized, taking := 100_000, durable.Receiving{Folder: t.disk, Few: 1000, Many: 1_000_000, Taken: 16_000, Rounds: 5}
	expected := []time.Duration{25 * time.Second, 12 * time.Second, 90 * time.Second}
	if t.quick {
		delivering.WarmUp, delivering.Counted, delivering.Rounds = 100, 400, 1
		sized, taking = 1000, durable.Receiving{Folder: t.disk, Few: 100, Many: 1000, Taken: 200, Rounds: 1}
		expected = []time.Duration{time.Second, time.Second, time.Second}
	}
	return append(steps,
		progress.Step{Name: "durable: end to end", Expected: expected[0], Run: func(ctx context.Context) (err error) {
			d.Ends, err = delivering.Run(ctx)
			return err
		}},
		progress.Step{Name: "durable: size", Expected: expected[1], Run: func(ctx context.Context) (err error) {
			d.Size, err = durable.Size(ctx, t.disk, sized)
			return err
		}},
		progress.Step{Name: "durable: receive", Expected: expected[2], Run: func(ctx context.Context) (err error) {
			d.Takes, err = taking.Run(ctx)
			return err
		}},
	)
}

// durableWrites measures how fast messages are durable, on the disk as it is and on a slower one.
func (t *task) durableWrites(d *result.Durable) (steps []progress.Step) {
	rounds, each := 3, time.Second
	if t.quick {
		rounds, each = 1, 100*time.Millisecond
	}
	for _, w := range []durable.Writing{{Producers: 1}, {Producers: 64}, {Producers: 512}, {Producers: 64, Delay: slower}} {
		w.Folder, w.For, w.Rounds = t.disk, each, rounds
		name := fmt.Sprintf("durable: writes, %d producers", w.Producers)
		if w.Delay > 0 {
			name += ", a slower disk"
		}
		expected := time.Duration(rounds*len(durable.Ways())) * (each*11/10 + 300*time.Millisecond)
		steps = append(steps, progress.Step{Name: name, Expected: expected, Run: func(ctx context.Context) error {
			if w.Delay > 0 {
				if _, err := disk.Slow(w.Delay); err != nil {
					d.NotSlow = err.Error()
					return nil
				}
			}
			measured, err := w.Run(ctx)
			d.Writes = append(d.Writes, measured...)
			return err
		}})
	}
	return steps
}

// waiting measures live hosts beside a dead one for which many messages wait. The runs that are compared alternate.
func (t *task) waiting(d *result.Durable) (steps []progress.Step) {
	times := 3
	w := durable.Waiting{Folder: t.disk, Messages: 100_000, Live: 50, Rate: 500, For: max(time.Second, t.duration*2/5)}
	fill := 3 * time.Second
	if t.quick {
		times, w.Messages, fill = 1, 1000, 0
	}
	for i := range times {
		for _, kind := range []receiver.Kind{receiver.OK, receiver.Hang, receiver.Refuse} {
			name := fmt.Sprintf("durable: live hosts, %s (%d of %d)", durable.Condition(kind), i+1, times)
			expected := w.For + around
			if kind != receiver.OK {
				expected += fill
			}
			steps = append(steps, progress.Step{Name: name, Expected: expected, Run: func(ctx context.Context) error {
				measured, err := w.Run(ctx, kind)
				d.Backlogs = append(d.Backlogs, measured)
				return err
			}})
		}
	}
	return steps
}
