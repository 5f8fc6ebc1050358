package report

import (
	"fmt"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// results returns what RESULTS.md is to hold.
func results(r *result.Report) []byte {
	d := &document{}
	d.heading(1, "What was measured")
	d.paragraph(fmt.Sprintf("`make bench` measures all of this again, and rewrites this file, the pictures in `docs`, and the figures in README. "+
		"It took %s. A figure is the median of its runs where nothing else is said; the least and the most of them stand in brackets. "+
		"A machine with two cores is noisy, and no two are alike: compare the rows of one table, not the tables of two runs.", minutes(r.Took)))
	machine(d, r)
	promised(d, r)
	isolationTogether(d, r)
	isolationAlone(d, r)
	costs(d, r)
	benchmarks(d, r)
	limits(d, r)
	reconnects(d, r)
	durable(d, r)
	brokers(d, r)
	about(d, r)
	return []byte(d.String())
}

func machine(d *document, r *result.Report) {
	var rows [][]string
	add := func(what, value string) {
		if value != "" {
			rows = append(rows, []string{what, value})
		}
	}
	if !r.Date.IsZero() {
		add("date", r.Date.UTC().Format(time.DateOnly+" 15:04 UTC"))
	}
	m := r.Machine
	add("processor", m.Processor)
	if m.Cores > 0 {
		add("cores", count(m.Cores))
	}
	if m.Memory > 0 {
		add("memory", size(float64(m.Memory)))
	}
	add("kernel", m.Kernel)
	add("Go", m.Go)
	for _, v := range m.Versions {
		add(v.Name, v.Version)
	}
	if len(rows) > 0 {
		d.table("ll", []string{"machine and versions", ""}, rows)
	}
}

func promised(d *document, r *result.Report) {
	var rows [][]string
	for _, p := range promises(r) {
		rows = append(rows, []string{p.what, p.promised, p.measured, p.verdict})
	}
	d.heading(2, "What is promised, and what was measured")
	d.paragraph("In all runs of a scenario all messages must have arrived, and of the connections those of the worst run count. " +
		"The scenarios are those of signpost with the machine to itself.")
	d.table("llll", []string{"what", "promised", "measured", "verdict"}, rows)
}

func about(d *document, r *result.Report) {
	if len(r.Senders) == 0 {
		return
	}
	d.heading(2, "About the senders")
	var items []string
	for _, s := range r.Senders {
		items = append(items, fmt.Sprintf("**%s**: %s", s.Name, s.About))
	}
	d.list(items)
}
