package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

func costs(d *document, r *result.Report) {
	if len(r.Costs) == 0 {
		return
	}
	d.heading(2, "Cost: CPU time for each delivered message")
	d.paragraph("User and system time of the sender's process, divided by the messages delivered. The ratio is the median over pairs of runs, " +
		"made one after the other.")
	if bars := costBars(r); len(bars) > 0 {
		d.picture(costAlternative(bars), "../"+costFile)
	}
	costRatios(d, r)
	costSenders(d, r)
}

func costRatios(d *document, r *result.Report) {
	var conditions []condition
	for _, cost := range r.Costs {
		if c := conditionOf(cost); !slices.Contains(conditions, c) {
			conditions = append(conditions, c)
		}
	}
	var rows [][]string
	for _, c := range conditions {
		ratios := c.ratios(r)
		if len(ratios) == 0 {
			continue
		}
		rows = append(rows, []string{
			size(float64(c.payload)), c.protocol(), count(c.hosts),
			median(c.usage(r, result.Signpost), result.Usage.Total), median(c.usage(r, result.Loop), result.Usage.Total),
			spread(ratios, times),
		})
	}
	if len(rows) > 0 {
		d.table("llrrrr", []string{"payload", "over", "hosts", result.Signpost, result.Loop, "ratio"}, rows)
	}
}

func (c condition) protocol() string {
	if c.tls {
		return "TLS"
	}
	return "plain HTTP"
}

func costSenders(d *document, r *result.Report) {
	c := headline(100)
	var rows [][]string
	for _, name := range senders(r) {
		if runs := c.usage(r, name); len(runs) > 0 {
			beside := "–"
			if slices.ContainsFunc(runs, func(u result.Usage) bool { return u.Beside > 0 }) {
				beside = median(runs, func(u result.Usage) time.Duration { return u.Beside })
			}
			rows = append(rows, []string{
				name, spread(each(runs, result.Usage.Total), nanoseconds),
				median(runs, func(u result.Usage) time.Duration { return u.User }), median(runs, func(u result.Usage) time.Duration { return u.System }), beside,
			})
		}
	}
	if len(rows) > 0 {
		d.paragraph(fmt.Sprintf("All senders, %s over %s to %s hosts; beside is what a server takes that the sender needs (Redis):",
			size(float64(c.payload)), c.protocol(), count(c.hosts)))
		d.table("lrrrr", []string{"sender", "CPU", "user", "system", "beside"}, rows)
	}
}

func reconnects(d *document, r *result.Report) {
	if len(r.Reconnects) == 0 {
		return
	}
	d.heading(2, "Reconnects: a new TLS connection for each delivery")
	var rows [][]string
	for _, c := range r.Reconnects {
		cache := "without"
		if c.SessionCache {
			cache = "with"
		}
		rows = append(rows, []string{
			cache, count(c.Hosts), significant(100*c.Resumed) + " %", spread(each(c.Runs, result.Usage.Total), nanoseconds),
		})
	}
	d.table("lrrr", []string{"session cache", "hosts", "handshakes that resumed a session", "CPU per delivery"}, rows)
}
