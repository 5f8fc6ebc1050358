package report

import (
	"slices"
	"strings"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// benchmarks writes the benchmarks that report the same units into one table.
func benchmarks(d *document, r *result.Report) {
	if len(r.Benchmarks) == 0 {
		return
	}
	d.heading(2, "Benchmarks")
	var groups [][]result.Benchmark
	for _, b := range r.Benchmarks {
		i := slices.IndexFunc(groups, func(g []result.Benchmark) bool { return slices.Equal(units(g[0]), units(b)) })
		if i < 0 {
			groups = append(groups, []result.Benchmark{b})
		} else {
			groups[i] = append(groups[i], b)
		}
	}
	for _, g := range groups {
		head := []string{"benchmark"}
		for _, unit := range units(g[0]) {
			head = append(head, shown(unit))
		}
		var rows [][]string
		for _, b := range g {
			row := []string{"`" + b.Name + "`"}
			for _, v := range b.Values {
				row = append(row, reading(v))
			}
			rows = append(rows, row)
		}
		d.table("l"+strings.Repeat("r", len(head)-1), head, rows)
	}
}

func units(b result.Benchmark) []string {
	var units []string
	for _, v := range b.Values {
		units = append(units, v.Unit)
	}
	return units
}

// shown returns the heading of a column of values in a unit. Times and sizes carry their units with them.
func shown(unit string) string {
	quantity, per, ok := strings.Cut(unit, "/")
	switch {
	case ok && (quantity == "ns" || quantity == "sec"):
		return "time/" + per
	case ok && quantity == "B":
		return "memory/" + per
	}
	return unit
}

// reading writes the median of v, the way that shown announces it.
func reading(v result.Value) string {
	if len(v.Runs) == 0 {
		return "–"
	}
	median := result.Median(v.Runs)
	switch quantity, _, _ := strings.Cut(v.Unit, "/"); {
	case quantity == v.Unit:
		return significant(median)
	case quantity == "ns":
		return nanoseconds(median)
	case quantity == "sec":
		return nanoseconds(median * 1e9)
	case quantity == "B":
		return size(median)
	}
	return significant(median)
}

func limits(d *document, r *result.Report) {
	if len(r.Limits) == 0 {
		return
	}
	d.heading(2, "Rate limits")
	d.paragraph("What hosts received beside what their limit allows. Healthy messages are those to hosts that kept within it.")
	var rows [][]string
	for _, l := range r.Limits {
		healthy := "–"
		if l.Beside.Healthy > 0 {
			healthy = arrived(l.Beside.Arrived, l.Beside.Healthy)
		}
		rows = append(rows, []string{
			clause(l.About), count(l.Hosts), significant(l.Rate) + "/s", count(l.Burst), significant(l.Offered) + "/s", duration(l.Duration),
			significant(l.Allowed), count(l.Min), significant(l.Median), count(l.Max), healthy, latency(l.Beside.P99, l.Beside.Arrived),
		})
	}
	d.table("lrrrrrrrrrrr", []string{
		"", "hosts", "limit", "burst", "offered to each", "for", "allowed", "least", "median", "most", "healthy messages arrived", "their p99",
	}, rows)
}
