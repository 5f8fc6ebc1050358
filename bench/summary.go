package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// summarize prints the figures that were measured.
func summarize(w io.Writer, r *result.Report) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	for _, s := range r.Together {
		summarizeScenario(t, s.Name, s)
	}
	for _, s := range r.Alone {
		summarizeScenario(t, s.Name+", alone", s)
	}
	if len(r.Costs) > 0 {
		fmt.Fprintln(t, "\ncost\tpayload\tTLS\thosts\tCPU\tbeside\tof the loop's\truns")
	}
	for _, c := range r.Costs {
		var total, beside []time.Duration
		for _, u := range c.Runs {
			total, beside = append(total, u.Total()), append(beside, u.Beside)
		}
		fmt.Fprintf(t, "%s\t%d\t%v\t%d\t%v\t%v\t%.3f\t%d\n",
			c.Sender, c.Payload, c.TLS, c.Hosts, result.Median(total), result.Median(beside), ratio(r.Costs, c), len(c.Runs))
	}
	for _, l := range r.Limits {
		fmt.Fprintf(t, "\n%s\nallowed %.0f, received %d to %d\n", l.About, l.Allowed, l.Min, l.Max)
		if l.Beside.Healthy > 0 {
			summarizeScenario(t, "the others", result.Scenario{Isolation: []result.Isolation{l.Beside}})
		}
	}
	for _, c := range r.Reconnects {
		var total []time.Duration
		for _, u := range c.Runs {
			total = append(total, u.Total())
		}
		fmt.Fprintf(t, "\nreconnects, session cache %v\t%v a delivery, %.0f %% resumed\n", c.SessionCache, result.Median(total), 100*c.Resumed)
	}
	summarizeDurable(t, r.Durable)
	summarizeBrokers(t, r.Brokers)
	if len(r.Benchmarks) > 0 {
		fmt.Fprintln(t)
	}
	for _, b := range r.Benchmarks {
		fmt.Fprint(t, b.Name)
		for _, v := range b.Values {
			fmt.Fprintf(t, "\t%.4g %s", result.Median(v.Runs), v.Unit)
		}
		fmt.Fprintln(t)
	}
}

func summarizeDurable(t io.Writer, d result.Durable) {
	if d.Fsync > 0 {
		fmt.Fprintf(t, "\nfsync\t%v\n", d.Fsync.Round(time.Microsecond))
	}
	if len(d.Writes) > 0 {
		fmt.Fprintln(t, "\ndurable\tcallers\tslower by\tmessages/s\tcommits a message\tCPU a message")
	}
	for _, w := range d.Writes {
		var rate, commits []float64
		var cpu []time.Duration
		for _, run := range w.Runs {
			n := max(1, run.Messages)
			rate, commits = append(rate, run.Rate()), append(commits, float64(run.Commits)/float64(n))
			cpu = append(cpu, run.CPU/time.Duration(n))
		}
		fmt.Fprintf(t, "%s\t%d\t%v\t%.0f\t%.4f\t%v\n", w.Way, w.Producers, w.Delay, result.Median(rate), result.Median(commits), result.Median(cpu))
	}
	if d.NotSlow != "" {
		fmt.Fprintf(t, "no slower disk\t%s\n", d.NotSlow)
	}
	for _, e := range d.Ends {
		var rate []float64
		var cpu []time.Duration
		for _, run := range e.Runs {
			rate, cpu = append(rate, run.Rate()), append(cpu, run.CPU/time.Duration(max(1, run.Messages)))
		}
		fmt.Fprintf(t, "end to end, in a file %v\t%.0f messages/s\t%v CPU a message\n", e.Durable, result.Median(rate), result.Median(cpu))
	}
	if n := int64(d.Size.Messages); n > 0 {
		fmt.Fprintf(t, "bytes a message\t%d waiting\t%d delivered\n", d.Size.Pending/n, d.Size.Delivered/n)
	}
	for _, k := range d.Takes {
		fmt.Fprintf(t, "receive, settle %v\t%d due, %d later\t%v\n", k.Settled, k.Due, k.Later, result.Median(k.Runs))
	}
	for _, s := range d.Backlogs {
		summarizeScenario(t, s.Name, s)
	}
}

func summarizeBrokers(t io.Writer, b result.Brokers) {
	if len(b.Passages) > 0 {
		fmt.Fprintln(t, "\nqueue\tinstances\tmessages/s\tCPU a message\tthe server's\tduplicates\tp50\tp99\tmax")
	}
	for _, p := range b.Passages {
		var rate []float64
		var cpu, server, p50, p99, most []time.Duration
		duplicates := 0
		for _, run := range p.Runs {
			rate, cpu, server = append(rate, run.Rate()), append(cpu, run.CPUPer()), append(server, run.ServerPer())
			duplicates += run.Duplicates
		}
		for _, lag := range p.Lags {
			p50, p99, most = append(p50, lag.P50), append(p99, lag.P99), append(most, lag.Max)
		}
		fmt.Fprintf(t, "%s\t%d\t%.0f\t%v\t%v\t%d\t%v\t%v\t%v\n", p.Queue, p.Instances, result.Median(rate),
			result.Median(cpu), result.Median(server), duplicates,
			result.Median(p50).Round(10*time.Microsecond), result.Median(p99).Round(10*time.Microsecond), result.Median(most).Round(10*time.Microsecond))
	}
	for _, m := range b.Missing {
		fmt.Fprintf(t, "%s\tnot measured: %s\n", m.Queue, m.Why)
	}
}

func summarizeScenario(t io.Writer, name string, s result.Scenario) {
	fmt.Fprintf(t, "\n%s\tarrived\tof\trefused\tp50\tp99\tmax\tconnections\tgoroutines\tMiB\tCPU\n", name)
	for _, i := range s.Isolation {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%v\t%v\t%v\t%d\t%d\t%d\t%v\n", i.Sender, i.Arrived, i.Healthy, i.Refused,
			i.P50.Round(10*time.Microsecond), i.P99.Round(10*time.Microsecond), i.Max.Round(10*time.Microsecond),
			i.Connections, i.Goroutines, i.Memory>>20, i.CPU.Round(time.Millisecond))
	}
}

// ratio is the median over the pairs of runs of c and the loop under the same condition; 0 if there are none.
func ratio(costs []result.Cost, c result.Cost) float64 {
	for _, loop := range costs {
		if loop.Sender != result.Loop || loop.Payload != c.Payload || loop.TLS != c.TLS || loop.Hosts != c.Hosts {
			continue
		}
		var ratios []float64
		for i := range min(len(loop.Runs), len(c.Runs)) {
			ratios = append(ratios, float64(c.Runs[i].Total())/float64(loop.Runs[i].Total()))
		}
		return result.Median(ratios)
	}
	return 0
}
