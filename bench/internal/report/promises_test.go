package report

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// Every promise is judged by what was measured: kept at its bound, broken beyond it, and open without data.
func TestPromises(t *testing.T) {
	const (
		late    = "p99 of healthy messages, beside the same run with nothing bad"
		arrives = "healthy messages that arrive"

		durably  = "queue in a file: durable messages/s from 64 callers, against one transaction per message"
		receive  = "queue in a file: CPU to receive a message, with a million waiting that are "
		waiting  = "queue in a file, 100,000 messages wait for a host that "
		lateLive = "p99 of messages to live hosts, beside the same run with nothing waiting"
	)
	for _, c := range []struct {
		what          string
		kept, missed  func(*result.Report)
		without       func(*result.Report)
		keptMeasured  string
		missedMeasure string
	}{
		{
			what: "CPU per delivered 1 KiB message, against an `http.Client` loop: 1 host",
			kept: ratio(1, 95), keptMeasured: "0.95×",
			missed: ratio(1, 96), missedMeasure: "0.96×",
			without: func(r *result.Report) { r.Costs = nil },
		},
		{
			what: "CPU per delivered 1 KiB message, against an `http.Client` loop: 100 hosts",
			kept: ratio(100, 95), keptMeasured: "0.95×",
			missed: ratio(100, 96), missedMeasure: "0.96×",
			without: ratio(100), // the loop has no run that makes a pair
		},
		{
			what: "`Send` of a 1 KiB `[]byte`: time",
			kept: value("Send/1_KiB_of_bytes", "ns/op", 2000), keptMeasured: "2 µs",
			missed: value("Send/1_KiB_of_bytes", "ns/op", 2010), missedMeasure: "2.01 µs",
			without: func(r *result.Report) { r.Benchmarks = nil },
		},
		{
			what: "`Send` of a 1 KiB `[]byte`: time", // in the unit of tools that read benchmarks
			kept: value("Send/1_KiB_of_bytes", "sec/op", 1.99e-6), keptMeasured: "1.99 µs",
			missed: value("Send/1_KiB_of_bytes", "sec/op", 2.01e-6), missedMeasure: "2.01 µs",
			without: value("Send/1_KiB_of_bytes", "allocs/op", 3),
		},
		{
			what: "`Send` of a 1 KiB `[]byte`: allocations",
			kept: value("Send/1_KiB_of_bytes", "allocs/op", 6), keptMeasured: "6",
			missed: value("Send/1_KiB_of_bytes", "allocs/op", 7), missedMeasure: "7",
			without: value("Send/1_KiB_of_bytes", "ns/op", 1000),
		},
		{
			what: "a waiting message, beyond its own strings and payload: memory",
			kept: value("Waiting/one_endpoint", "B/message", 300), keptMeasured: "300 B",
			missed: value("Waiting/one_endpoint", "B/message", 301), missedMeasure: "301 B",
			without: value("Waiting/one_endpoint", "goroutines", 4),
		},
		{
			what: "a waiting message, beyond its own strings and payload: memory, when each has an endpoint of its own",
			kept: value("Waiting/an_endpoint_each", "B/message", 700), keptMeasured: "700 B",
			missed: value("Waiting/an_endpoint_each", "B/message", 701), missedMeasure: "701 B",
			without: value("Waiting/an_endpoint_each", "goroutines", 4),
		},
		{
			what: "waiting messages: goroutines",
			kept: value("Waiting/an_endpoint_each", "goroutines", 10), keptMeasured: "10",
			missed: value("Waiting/one_endpoint", "goroutines", 1_000_003), missedMeasure: "1,000,003",
			without: func(r *result.Report) { r.Benchmarks = nil },
		},
		{
			what: "an operation of the schedule with a million hosts and messages, beside a thousand",
			kept: value("Turn/hosts=1000000", "sec/op", 900e-9), keptMeasured: "3× (900 ns beside 300 ns)",
			missed: value("Turn/hosts=1000000", "sec/op", 930e-9), missedMeasure: "3.1× (930 ns beside 300 ns)",
			without: value("Turn/hosts=1000", "allocs/op", 0),
		},
		{
			what: "10 of 100 hosts hang: " + arrives,
			kept: runs("hung"), keptMeasured: "54,000 of 54,000 (100 %)",
			missed:        runs("hung", func(i *result.Isolation) { i.Arrived-- }), // one message in one run
			missedMeasure: "53,999 of 54,000 (99.99 %)",
			without:       withoutRuns("hung"),
		},
		{
			what: "10 of 100 hosts hang: " + late,
			kept: runs("hung", p99Of(9), p99Of(6), p99Of(2)), keptMeasured: "2× (6 ms beside 3 ms)",
			missed: runs("hung", p99Of(9), p99Of(7), p99Of(2)), missedMeasure: "2.33× (7 ms beside 3 ms)",
			without: withoutRuns("none"),
		},
		{
			what: "10 of 100 hosts hang: " + late, // messages that never arrive are not fast
			kept: runs("hung", nothing), keptMeasured: "1× (3 ms beside 3 ms)",
			missed: runs("hung", nothing, nothing, nothing), missedMeasure: "nothing arrived in most runs",
			without: runs("none", nothing, nothing, nothing),
		},
		{
			what: "10 of 100 hosts hang: connections open to them at any time",
			kept: runs("hung", open(3), open(20)), keptMeasured: "20",
			missed: runs("hung", open(3), open(21), open(3)), missedMeasure: "21",
			without: withoutRuns("hung"),
		},
		{
			what: "10 of 100 hosts hang from the middle of the run: " + arrives,
			kept: runs("halfway"), keptMeasured: "54,000 of 54,000 (100 %)",
			missed: runs("halfway", nothing), missedMeasure: "36,000 of 54,000 (66.6 %)",
			without: withoutRuns("halfway"),
		},
		{
			what: "10 of 100 hosts hang from the middle of the run: " + late,
			kept: runs("halfway", p99Of(6), p99Of(6)), keptMeasured: "2× (6 ms beside 3 ms)",
			missed: runs("halfway", p99Of(7), p99Of(7)), missedMeasure: "2.33× (7 ms beside 3 ms)",
			without: withoutRuns("halfway"),
		},
		{
			what: "10 of one host's 100 endpoints hang: " + arrives,
			kept: runs("endpoints hung"), keptMeasured: "54,000 of 54,000 (100 %)",
			missed: runs("endpoints hung", nothing), missedMeasure: "36,000 of 54,000 (66.6 %)",
			without: withoutRuns("endpoints hung"),
		},
		{
			what: "10 of one host's 100 endpoints hang: " + late,
			kept: runs("endpoints hung", p99Of(6), p99Of(6)), keptMeasured: "2× (6 ms beside 3 ms)",
			missed: runs("endpoints hung", p99Of(7), p99Of(7)), missedMeasure: "2.33× (7 ms beside 3 ms)",
			without: withoutRuns("endpoints"),
		},
		{
			what: "10 of one host's 100 endpoints answer 500: " + arrives,
			kept: runs("endpoints failing"), keptMeasured: "54,000 of 54,000 (100 %)",
			missed: runs("endpoints failing", nothing), missedMeasure: "36,000 of 54,000 (66.6 %)",
			without: withoutRuns("endpoints failing"),
		},
		{
			what: "10 of one host's 100 endpoints answer 500: " + late,
			kept: runs("endpoints failing", p99Of(6), p99Of(6)), keptMeasured: "2× (6 ms beside 3 ms)",
			missed: runs("endpoints failing", p99Of(7), p99Of(7)), missedMeasure: "2.33× (7 ms beside 3 ms)",
			without: withoutRuns("endpoints"),
		},
		{
			what: "a rate limit over 1,000 hosts: the host furthest from it",
			kept: received(98, 100, 102), keptMeasured: "2 %",
			missed: received(97, 100, 101), missedMeasure: "3 %",
			without: func(r *result.Report) { r.Limits = r.Limits[1:] },
		},
		{
			what: "a rate limit over 1,000 hosts: the median host",
			kept: received(50, 98, 101), keptMeasured: "2 %",
			missed: received(50, 97.5, 101), missedMeasure: "2.5 %",
			without: func(r *result.Report) { r.Limits = r.Limits[1:] },
		},
		{
			what: durably,
			kept: written(0, 1000, 900, 10_000), keptMeasured: "10× (10,000/s beside 1,000/s; 0.1 commits a message beside 1; fsync takes 800 µs)",
			missed:        written(0, 1000, 1200, 10_000), // against the better of the two
			missedMeasure: "8.33× (10,000/s beside 1,200/s; 0.1 commits a message beside 1; fsync takes 800 µs)",
			without:       func(r *result.Report) { r.Durable.Writes = nil },
		},
		{
			what: durably + "; on a simulated disk whose fsync takes 2 ms longer",
			kept: written(slowerDisk, 1000, 900, 10_000), keptMeasured: "10× (10,000/s beside 1,000/s; 0.1 commits a message beside 1; fsync takes 2.8 ms)",
			missed:        written(slowerDisk, 1000, 900, 9900),
			missedMeasure: "9.9× (9,900/s beside 1,000/s; 0.101 commits a message beside 1; fsync takes 2.8 ms)",
			without:       func(r *result.Report) { r.Durable.Writes = r.Durable.Writes[:3] },
		},
		{
			what: receive + "due, beside a thousand",
			kept: taken(false, 1_000_000, 0, 20), keptMeasured: "2× (20 µs beside 10 µs)",
			missed: taken(false, 1_000_000, 0, 21), missedMeasure: "2.1× (21 µs beside 10 µs)",
			without: taken(false, 1000, 0),
		},
		{
			what: receive + "not due, beside a thousand that are",
			kept: taken(false, 1000, 960_000, 20), keptMeasured: "2× (20 µs beside 10 µs)",
			missed: taken(false, 1000, 960_000, 21), missedMeasure: "2.1× (21 µs beside 10 µs)",
			without: taken(false, 1000, 960_000),
		},
		{
			what: receive + "due, beside a thousand; and settled",
			kept: taken(true, 1_000_000, 0, 20), keptMeasured: "2× (20 µs beside 10 µs)",
			missed: taken(true, 1_000_000, 0, 21), missedMeasure: "2.1× (21 µs beside 10 µs)",
			without: taken(true, 1_000_000, 0),
		},
		{
			what: receive + "not due, beside a thousand that are; and settled",
			kept: taken(true, 1000, 960_000, 20), keptMeasured: "2× (20 µs beside 10 µs)",
			missed: taken(true, 1000, 960_000, 21), missedMeasure: "2.1× (21 µs beside 10 µs)",
			without: func(r *result.Report) { r.Durable.Takes = nil },
		},
		{
			what: waiting + "hangs: messages to live hosts that arrive",
			kept: backlogged(result.BacklogHangs), keptMeasured: "54,000 of 54,000 (100 %)",
			missed: backlogged(result.BacklogHangs, nothing), missedMeasure: "36,000 of 54,000 (66.6 %)",
			without: func(r *result.Report) { r.Durable.Backlogs = nil },
		},
		{
			what: waiting + "hangs: " + lateLive,
			kept: backlogged(result.BacklogHangs, p99Of(6), p99Of(6)), keptMeasured: "2× (6 ms beside 3 ms)",
			missed: backlogged(result.BacklogHangs, p99Of(7), p99Of(7)), missedMeasure: "2.33× (7 ms beside 3 ms)",
			without: func(r *result.Report) { r.Durable.Backlogs = r.Durable.Backlogs[3:] },
		},
		{
			what: waiting + "refuses: messages to live hosts that arrive",
			kept: backlogged(result.BacklogRefuses), keptMeasured: "54,000 of 54,000 (100 %)",
			missed: backlogged(result.BacklogRefuses, nothing), missedMeasure: "36,000 of 54,000 (66.6 %)",
			without: func(r *result.Report) { r.Durable.Backlogs = r.Durable.Backlogs[:6] },
		},
		{
			what: waiting + "refuses: " + lateLive,
			kept: backlogged(result.BacklogRefuses, p99Of(6), p99Of(6)), keptMeasured: "2× (6 ms beside 3 ms)",
			missed: backlogged(result.BacklogRefuses, p99Of(7), p99Of(7)), missedMeasure: "2.33× (7 ms beside 3 ms)",
			without: func(r *result.Report) { r.Durable.Backlogs = r.Durable.Backlogs[:6] },
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, v := range []struct {
				change            func(*result.Report)
				verdict, measured string
			}{
				{c.kept, "met", c.keptMeasured},
				{c.missed, "not met", c.missedMeasure},
				{c.without, "not measured", "–"},
			} {
				r := sample()
				v.change(r)
				p := find(t, r, c.what)
				assert.Equal(t, v.verdict, p.verdict)
				assert.Equal(t, v.measured, p.measured)
			}
		})
	}
}

func TestEveryPromiseIsKeptInTheSampleAndOpenInAnEmptyReport(t *testing.T) {
	for _, p := range promises(sample()) {
		assert.Equal(t, "met", p.verdict, p.what)
	}
	for _, p := range promises(&result.Report{}) {
		assert.Equal(t, "not measured", p.verdict, p.what)
	}
}

func find(t *testing.T, r *result.Report, what string) promise {
	t.Helper()
	all := promises(r)
	i := slices.IndexFunc(all, func(p promise) bool { return p.what == what })
	require.GreaterOrEqual(t, i, 0, what)
	return all[i]
}

// ratio makes signpost take the given percentages of what the loop takes in a run.
func ratio(hosts int, percent ...int) func(*result.Report) {
	return func(r *result.Report) {
		for i, c := range r.Costs {
			if c.Hosts != hosts || c.TLS || c.Payload != 1024 {
				continue
			}
			r.Costs[i].Runs = nil
			for _, p := range percent {
				u := result.Usage{User: time.Millisecond}
				if c.Sender == result.Signpost {
					u.User = time.Duration(p) * time.Millisecond / 100
				}
				r.Costs[i].Runs = append(r.Costs[i].Runs, u)
			}
		}
	}
}

// value leaves a benchmark with one value.
func value(name, unit string, runs ...float64) func(*result.Report) {
	return func(r *result.Report) {
		for i, b := range r.Benchmarks {
			if b.Name == name {
				r.Benchmarks[i].Values = []result.Value{{Unit: unit, Runs: runs}}
			}
		}
	}
}

// runs changes the runs of a scenario, one after the other.
func runs(scenario string, changes ...func(*result.Isolation)) func(*result.Report) {
	return func(r *result.Report) { change(r.Alone, scenario, changes) }
}

// backlogged does the same for those in which messages wait for a dead host.
func backlogged(scenario string, changes ...func(*result.Isolation)) func(*result.Report) {
	return func(r *result.Report) { change(r.Durable.Backlogs, scenario, changes) }
}

func change(scenarios []result.Scenario, name string, changes []func(*result.Isolation)) {
	n := 0
	for _, s := range scenarios {
		if s.Name == name && n < len(changes) {
			changes[n](&s.Isolation[0])
			n++
		}
	}
}

// written sets how many messages a second the ways make durable.
func written(delay time.Duration, single, pool, group int) func(*result.Report) {
	return func(r *result.Report) {
		for i, w := range r.Durable.Writes {
			n := map[string]int{result.Single: single, result.Pool: pool, result.Group: group}[w.Way]
			if w.Delay == delay {
				r.Durable.Writes[i].Runs = []result.Written{{Messages: n, Commits: commitsOf(w.Way, n), Took: time.Second}}
			}
		}
	}
}

// commitsOf is how many commits n messages took.
func commitsOf(way string, n int) int {
	if way == result.Group {
		return 1000
	}
	return n
}

// taken leaves a condition under which messages are received with these runs, in microseconds.
func taken(settled bool, due, later int, us ...int) func(*result.Report) {
	return func(r *result.Report) {
		for i, k := range r.Durable.Takes {
			if k.Settled == settled && k.Due == due && k.Later == later {
				r.Durable.Takes[i].Runs = nil
				for _, n := range us {
					r.Durable.Takes[i].Runs = append(r.Durable.Takes[i].Runs, time.Duration(n)*time.Microsecond)
				}
			}
		}
	}
}

func withoutRuns(scenario string) func(*result.Report) {
	return func(r *result.Report) {
		r.Alone = slices.DeleteFunc(r.Alone, func(s result.Scenario) bool { return s.Name == scenario })
	}
}

func p99Of(ms int) func(*result.Isolation) {
	return func(i *result.Isolation) { i.P99 = time.Duration(ms) * time.Millisecond }
}

func open(connections int) func(*result.Isolation) {
	return func(i *result.Isolation) { i.Connections = connections }
}

// nothing is a run in which no healthy message arrived.
func nothing(i *result.Isolation) { i.Arrived, i.P50, i.P99, i.Max = 0, 0, 0, 0 }

// received sets what hosts received that are allowed 100.
func received(least int, median float64, most int) func(*result.Report) {
	return func(r *result.Report) {
		l := &r.Limits[0]
		l.Allowed, l.Min, l.Median, l.Max = 100, least, median, most
	}
}
