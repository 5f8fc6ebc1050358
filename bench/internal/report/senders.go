package report

import (
	"slices"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// senders returns the names of all senders that r has figures of, in the order in which they are shown.
func senders(r *result.Report) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range r.Senders {
		add(s.Name)
	}
	for _, s := range r.Together {
		for _, i := range s.Isolation {
			add(i.Sender)
		}
	}
	for _, c := range r.Costs {
		add(c.Sender)
	}
	return names
}

// together returns the scenario of that name that all senders ran at the same time.
func together(r *result.Report, name string) (result.Scenario, bool) {
	i := slices.IndexFunc(r.Together, func(s result.Scenario) bool { return s.Name == name })
	if i < 0 || len(r.Together[i].Isolation) == 0 {
		return result.Scenario{}, false
	}
	return r.Together[i], true
}

// alone returns the runs of the scenario of that name that signpost had the machine to itself in.
func alone(r *result.Report, name string) []result.Isolation {
	var runs []result.Isolation
	for _, s := range r.Alone {
		if i, ok := s.By(result.Signpost); ok && s.Name == name && i.Healthy > 0 {
			runs = append(runs, i)
		}
	}
	return runs
}

// A condition is what the cost of senders was measured under.
type condition struct {
	payload int // bytes
	tls     bool
	hosts   int
}

func conditionOf(c result.Cost) condition { return condition{c.Payload, c.TLS, c.Hosts} }

// headline returns the condition whose figures are the headline: 1 KiB over plain HTTP.
func headline(hosts int) condition { return condition{payload: 1024, hosts: hosts} }

// usage returns the runs of a sender under c.
func (c condition) usage(r *result.Report, sender string) []result.Usage {
	for _, cost := range r.Costs {
		if cost.Sender == sender && conditionOf(cost) == c {
			return cost.Runs
		}
	}
	return nil
}

// ratios returns signpost's CPU time divided by the loop's for each pair of runs under c.
func (c condition) ratios(r *result.Report) []float64 {
	signpost, loop := c.usage(r, result.Signpost), c.usage(r, result.Loop)
	var ratios []float64
	for i := range min(len(signpost), len(loop)) {
		if base := loop[i].Total(); base > 0 {
			ratios = append(ratios, float64(signpost[i].Total())/float64(base))
		}
	}
	return ratios
}
