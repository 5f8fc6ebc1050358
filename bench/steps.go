package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/cost"
	"github.com/signpost-go/signpost/bench/internal/gobench"
	"github.com/signpost-go/signpost/bench/internal/isolation"
	"github.com/signpost-go/signpost/bench/internal/limits"
	"github.com/signpost-go/signpost/bench/internal/progress"
	"github.com/signpost-go/signpost/bench/internal/reconnects"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// around is what a run of isolation takes beside its duration: processes start, and messages have a second to arrive.
const around = 2 * time.Second

// steps returns what to do. Each step adds what it has measured to r.
func (t *task) steps(r *result.Report) ([]progress.Step, error) {
	var steps []progress.Step
	for _, part := range []struct {
		name  string
		steps func(*result.Report) []progress.Step
	}{
		{"isolation", t.together},
		{"isolation", t.apart},
		{"cost", t.cost},
		{"limits", t.limits},
		{"reconnects", t.reconnects},
		{"durable", t.durable},
		{"brokers", t.brokers},
		{"benchmarks", t.benchmarks},
	} {
		if t.has(part.name) {
			steps = append(steps, part.steps(r)...)
		}
	}
	steps = slices.DeleteFunc(steps, func(s progress.Step) bool { return !t.only.MatchString(s.Name) })
	if len(steps) == 0 {
		return nil, fmt.Errorf("-only %q: no step of %v has a name that matches", t.only, t.parts)
	}
	return steps, nil
}

// together compares all senders.
func (t *task) together(r *result.Report) (steps []progress.Step) {
	for _, s := range isolation.Scenarios() {
		expected := t.duration + around
		if t.alone {
			expected *= time.Duration(len(isolation.Senders()))
		}
		steps = append(steps, progress.Step{Name: "isolation: " + s.Name, Expected: expected, Run: func(ctx context.Context) error {
			run := s.Run
			if t.alone {
				run = s.RunApart
			}
			measured, err := run(ctx, t.duration, isolation.Senders()...)
			r.Together = append(r.Together, measured)
			return err
		}})
	}
	return steps
}

// apart measures signpost with the machine to itself. Scenarios whose figures are compared alternate.
func (t *task) apart(r *result.Report) (steps []progress.Step) {
	duration := max(time.Second, t.duration*2/5)
	for _, group := range []struct {
		times int
		names []string
	}{
		{3, []string{"none", "hung", "halfway"}},
		{2, []string{"endpoints", "endpoints hung", "endpoints failing"}},
	} {
		if t.quick {
			group.times = 1
		}
		for i := range group.times {
			for _, name := range group.names {
				step := fmt.Sprintf("isolation: signpost alone: %s (%d of %d)", name, i+1, group.times)
				steps = append(steps, progress.Step{Name: step, Expected: duration + around, Run: func(ctx context.Context) error {
					s, err := isolation.ByName(name)
					if err != nil {
						return err
					}
					measured, err := s.Run(ctx, duration, result.Signpost)
					r.Alone = append(r.Alone, measured)
					return err
				}})
			}
		}
	}
	return steps
}

func (t *task) cost(r *result.Report) (steps []progress.Step) {
	for _, cell := range cost.Cells() {
		if t.quick {
			cell = cell.Quick()
		}
		steps = append(steps, progress.Step{Name: "cost: " + cell.String(), Expected: cell.Expected(), Run: func(ctx context.Context) error {
			measured, err := cell.Run(ctx)
			r.Costs = append(r.Costs, measured...)
			return err
		}})
	}
	return steps
}

func (t *task) limits(r *result.Report) []progress.Step {
	span, hosts := 10*time.Second, 1000
	if t.quick {
		span, hosts = time.Second, 100
	}
	measure := func(name string, f func(context.Context) (result.Limit, error)) progress.Step {
		return progress.Step{Name: "limits: " + name, Expected: span + 2*around, Run: func(ctx context.Context) error {
			measured, err := f(ctx)
			r.Limits = append(r.Limits, measured)
			return err
		}}
	}
	return []progress.Step{
		measure("every host", func(ctx context.Context) (result.Limit, error) { return limits.EveryHost(ctx, hosts, span) }),
		measure("one host flooded", func(ctx context.Context) (result.Limit, error) { return limits.Flood(ctx, span) }),
	}
}

func (t *task) reconnects(r *result.Report) []progress.Step {
	hosts, pairs, each := 2000, 3, 8*time.Second
	if t.quick {
		hosts, pairs, each = 100, 1, time.Second
	}
	return []progress.Step{{Name: "reconnects", Expected: time.Duration(2*pairs) * each, Run: func(ctx context.Context) (err error) {
		r.Reconnects, err = reconnects.Run(ctx, hosts, pairs)
		return err
	}}}
}

func (t *task) benchmarks(r *result.Report) []progress.Step {
	packages := []string{".", "./internal/schedule"}
	// Memory doesn't vary from run to run, and filling it takes long.
	jobs := []gobench.Job{
		{Packages: packages, Bench: ".", Skip: "Waiting", Time: "200ms", Count: 5},
		{Packages: packages[:1], Bench: "Waiting", Time: "1x", Count: 1},
	}
	expected := []time.Duration{50 * time.Second, 15 * time.Second}
	if t.quick {
		jobs = []gobench.Job{{Packages: packages[:1], Bench: "Sign|Verify", Time: "1ms", Count: 2}}
		expected[0] = 5 * time.Second
	}
	var steps []progress.Step
	for i, job := range jobs {
		steps = append(steps, progress.Step{Name: "benchmarks: " + job.Bench, Expected: expected[i], Run: func(ctx context.Context) error {
			folder, err := gobench.Module(ctx, "github.com/signpost-go/signpost")
			if err != nil {
				return err
			}
			measured, err := job.Run(ctx, folder)
			r.Benchmarks = append(r.Benchmarks, measured...)
			return err
		}})
	}
	return steps
}
