package report

import (
	"fmt"
	"strings"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// settings writes what a scenario was run with.
func settings(s result.Scenario) string {
	workers := "the default number of workers"
	if s.Workers > 0 {
		workers = count(s.Workers) + " workers"
	}
	return fmt.Sprintf("%s messages/s for %s, with %s and a timeout of %s", count(s.Rate), duration(s.Duration), workers, duration(s.Timeout))
}

// clause is a sentence without its full stop, to go on with.
func clause(text string) string { return strings.TrimSuffix(oneLine(text), ".") }

func isolationTogether(d *document, r *result.Report) {
	if len(r.Together) == 0 {
		return
	}
	d.heading(2, "Isolation: all senders at the same time")
	d.paragraph("Each sender runs in a process of its own and is offered the same messages. Latency is counted from the moment at which a message was " +
		"to be sent to its first arrival. A message has arrived if it did so within a second after the last one was offered.")
	if s, ok := pictured(r); ok {
		d.picture(isolationAlternative(s, senders(r)), "../"+isolationFile)
	}
	for _, s := range r.Together {
		d.heading(3, s.Name)
		d.paragraph(fmt.Sprintf("%s. %s.", clause(s.About), settings(s)))
		var rows [][]string
		for _, name := range senders(r) {
			if i, ok := s.By(name); ok {
				rows = append(rows, []string{
					name, arrived(i.Arrived, i.Healthy), count(i.Refused),
					latency(i.P50, i.Arrived), latency(i.P99, i.Arrived), latency(i.Max, i.Arrived),
					count(i.Connections), count(i.Goroutines), size(float64(i.Memory)), duration(i.CPU),
				})
			}
		}
		d.table("lrrrrrrrrr", append([]string{"sender"}, isolationColumns...), rows)
	}
}

var isolationColumns = []string{
	"healthy messages arrived", "refused", "p50", "p99", "max", "connections at bad receivers", "goroutines", "memory", "CPU",
}

func isolationAlone(d *document, r *result.Report) {
	if len(r.Alone) == 0 {
		return
	}
	d.heading(2, "Isolation: signpost with the machine to itself")
	var items []string
	var rows [][]string
	seen := map[string]bool{}
	for _, s := range r.Alone {
		if seen[s.Name] {
			continue
		}
		seen[s.Name] = true
		items = append(items, fmt.Sprintf("**%s**: %s. %s.", s.Name, clause(s.About), settings(s)))
		if runs := alone(r, s.Name); len(runs) > 0 {
			rows = append(rows, aloneRow(s.Name, runs))
		}
	}
	d.list(items)
	d.paragraph("Messages are counted over all runs of a scenario.")
	d.table("lrrrrrrrrrr", append([]string{"scenario", "runs"}, isolationColumns...), rows)
}

func aloneRow(name string, runs []result.Isolation) []string {
	var healthy, refused, came int
	var latencies []result.Isolation
	for _, i := range runs {
		healthy += i.Healthy
		refused += i.Refused
		came += i.Arrived
		if i.Arrived > 0 { // of nothing there is no latency
			latencies = append(latencies, i)
		}
	}
	return []string{
		name, count(len(runs)), arrived(came, healthy), count(refused),
		spread(each(latencies, func(i result.Isolation) int64 { return int64(i.P50) }), nanoseconds),
		spread(each(latencies, func(i result.Isolation) int64 { return int64(i.P99) }), nanoseconds),
		spread(each(latencies, func(i result.Isolation) int64 { return int64(i.Max) }), nanoseconds),
		spread(each(runs, func(i result.Isolation) int { return i.Connections }), significant),
		spread(each(runs, func(i result.Isolation) int { return i.Goroutines }), significant),
		spread(each(runs, func(i result.Isolation) int64 { return i.Memory }), size),
		spread(each(runs, func(i result.Isolation) int64 { return int64(i.CPU) }), nanoseconds),
	}
}
