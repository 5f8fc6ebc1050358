package report

import (
	"math"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// The senders of the sample, and how they fare in it: from the tenth second on, the part of the messages that arrives,
// and their latency.
var sampleSenders = []struct {
	name, about string
	after       float64
	late        time.Duration
	cost        time.Duration
	beside      time.Duration
}{
	{"goroutine per message", "`go send(m)`, retried in place.", 1, 4 * time.Millisecond, 92 * time.Microsecond, 0},
	{"channel and pool", "A channel with a pool of workers that retry in place.", 0.03, 0, 90 * time.Microsecond, 0},
	{"ants + go-retryablehttp", "A pool of ants, each with go-retryablehttp.", 0.04, 7 * time.Second, 118 * time.Microsecond, 0},
	{result.Loop, "Workers around `http.Client` without queue or retry.", 0.12, 5 * time.Second, 84 * time.Microsecond, 0},
	{"asynq + Redis", "asynq with Redis on the same machine.", 0.45, 6 * time.Second, 236 * time.Microsecond, 97 * time.Microsecond},
	{result.Signpost, "This library, in memory.", 1, 2 * time.Millisecond, 76 * time.Microsecond, 0},
}

// sample is a report of made-up figures in which every promise is kept.
func sample() *result.Report {
	r := &result.Report{
		Date: time.Date(2026, 10, 2, 14, 3, 0, 0, time.UTC),
		Took: 13*time.Minute + 10*time.Second,
		Machine: result.Machine{
			Processor: "Example CPU @ 2.50GHz", Cores: 2, Memory: 8 << 30, Kernel: "Linux 6.1.0", Go: "go1.26.8",
			Versions: []result.Version{{Name: "github.com/hibiken/asynq", Version: "v0.26.0"}, {Name: "Redis", Version: "7.0.15"}},
		},
		Together: []result.Scenario{scenario("none"), scenario("hung"), scenario("halfway")},
		Benchmarks: []result.Benchmark{
			benchmark("Send/1_KiB_of_bytes", "ns/op", 1210, "B/op", 1380, "allocs/op", 5),
			benchmark("Send/struct", "ns/op", 2950, "B/op", 1900, "allocs/op", 7),
			benchmark("Waiting/one_endpoint", "B/message", 212, "goroutines", 4),
			benchmark("Waiting/an_endpoint_each", "B/message", 655, "goroutines", 4),
			benchmark("Turn/hosts=1000", "sec/op", 300e-9, "allocs/op", 0),
			benchmark("Turn/hosts=1000000", "sec/op", 780e-9, "allocs/op", 0),
		},
		Limits: []result.Limit{
			{About: "1,000 hosts, each offered twice its limit.", Hosts: 1000, Rate: 10, Burst: 10, Offered: 20,
				Duration: 10 * time.Second, Allowed: 110, Min: 109, Max: 111, Median: 110},
			{About: "One host is offered 500 times its limit.", Hosts: 1, Rate: 10, Burst: 10, Offered: 5000, Duration: 10 * time.Second,
				Allowed: 110, Min: 110, Max: 110, Median: 110,
				Beside: result.Isolation{Healthy: 9900, Arrived: 9900, P99: 3 * time.Millisecond}},
		},
		Reconnects: []result.Reconnect{
			{SessionCache: true, Hosts: 2000, Resumed: 0.98, Runs: usages(410*time.Microsecond, 0)},
			{SessionCache: false, Hosts: 2000, Runs: usages(980*time.Microsecond, 0)},
		},
	}
	r.Durable = sampleDurable()
	r.Brokers = sampleBrokers()
	for _, s := range sampleSenders {
		r.Senders = append(r.Senders, result.Sender{Name: s.name, About: s.about})
		for _, hosts := range []int{1, 100} {
			r.Costs = append(r.Costs, result.Cost{Sender: s.name, Payload: 1024, Hosts: hosts, Runs: usages(s.cost, s.beside)})
		}
	}
	r.Costs = append(r.Costs,
		result.Cost{Sender: result.Loop, Payload: 200, TLS: true, Hosts: 1, Runs: usages(95*time.Microsecond, 0)},
		result.Cost{Sender: result.Signpost, Payload: 200, TLS: true, Hosts: 1, Runs: usages(88*time.Microsecond, 0)})
	for _, name := range []string{"none", "hung", "halfway", "endpoints", "endpoints hung", "endpoints failing"} {
		for range 3 {
			s := scenario(name)
			s.Isolation = s.Isolation[len(s.Isolation)-1:]
			r.Alone = append(r.Alone, s)
		}
	}
	return r
}

func sampleDurable() result.Durable {
	d := result.Durable{
		Fsync: 800 * time.Microsecond,
		Ends: []result.End{
			{Durable: true, Runs: []result.Ended{{Messages: 10_000, Took: 2 * time.Second, CPU: time.Second}}},
			{Durable: false, Runs: []result.Ended{{Messages: 10_000, Took: time.Second, CPU: 500 * time.Millisecond}}},
		},
		Size: result.Size{Messages: 1000, Pending: 1_600_000, Delivered: 1_700_000},
	}
	for _, delay := range []time.Duration{0, 2 * time.Millisecond} {
		for way, rate := range map[string]int{result.Group: 12_000, result.Single: 1000, result.Pool: 900} {
			written := result.Written{Messages: rate, Commits: min(rate, 1000), Took: time.Second, CPU: 300 * time.Millisecond}
			d.Writes = append(d.Writes, result.Write{Way: way, Producers: 64, Delay: delay, Runs: []result.Written{written, written, written}})
		}
	}
	for _, c := range []struct{ due, later, us int }{{1000, 0, 10}, {1_000_000, 0, 15}, {1000, 960_000, 12}} {
		for _, settled := range []bool{false, true} {
			cost := time.Duration(c.us) * time.Microsecond
			d.Takes = append(d.Takes, result.Take{Due: c.due, Later: c.later, Settled: settled, Runs: []time.Duration{cost, cost, cost}})
		}
	}
	for _, name := range []string{result.NoBacklog, result.BacklogHangs, result.BacklogRefuses} {
		for range 3 {
			s := scenario(name)
			s.Isolation = s.Isolation[len(s.Isolation)-1:]
			d.Backlogs = append(d.Backlogs, s)
		}
	}
	return d
}

// sampleBrokers has the figures of all queues but Kafka's.
func sampleBrokers() result.Brokers {
	b := result.Brokers{
		Senders: 64, Workers: 64, Hosts: 100, Rate: 200,
		Servers: []result.Version{{Name: "RabbitMQ", Version: "3.10.8"}, {Name: "Redis", Version: "7.0.15"}},
		Missing: []result.Missing{{Queue: result.Kafka, Why: "not installed: apt-get install maven"}},
	}
	for _, p := range []struct {
		queue     string
		instances int
		rate      int
		cpu       time.Duration // of each message
		server    time.Duration
		p50       time.Duration
	}{
		{result.InMemory, 1, 15_000, 80 * time.Microsecond, 0, time.Millisecond},
		{result.InFile, 1, 7000, 160 * time.Microsecond, 0, 1200 * time.Microsecond},
		{result.RabbitMQ, 1, 4000, 200 * time.Microsecond, 120 * time.Microsecond, 2 * time.Millisecond},
		{result.RabbitMQ, 3, 5000, 210 * time.Microsecond, 130 * time.Microsecond, 2 * time.Millisecond},
		{result.AsynqAlways, 1, 1000, 400 * time.Microsecond, 240 * time.Microsecond, 7 * time.Millisecond},
		{result.AsynqAlways, 3, 2000, 400 * time.Microsecond, 240 * time.Microsecond, 7 * time.Millisecond},
		{result.AsynqEverySecond, 1, 3000, 200 * time.Microsecond, 60 * time.Microsecond, 7 * time.Millisecond},
		{result.AsynqEverySecond, 3, 3000, 200 * time.Microsecond, 60 * time.Microsecond, 7 * time.Millisecond},
	} {
		passage := result.Passage{Queue: p.queue, Instances: p.instances}
		for _, f := range []float64{1, 0.9, 1.1} {
			passage.Runs = append(passage.Runs, result.Passed{
				Messages: int(float64(p.rate) * f), Took: time.Second,
				CPU:    time.Duration(float64(p.cpu) * float64(p.rate) * f),
				Server: time.Duration(float64(p.server) * float64(p.rate) * f),
			})
		}
		passage.Lags = []result.Lag{{Messages: 1000, P50: p.p50, P99: 3 * p.p50, Max: 5 * p.p50}}
		b.Passages = append(b.Passages, passage)
	}
	return b
}

// scenario is one run of all senders, in which receivers go bad in the tenth second, whatever its name.
func scenario(name string) result.Scenario {
	s := result.Scenario{
		Name: name, About: map[string]string{
			"none":    "100 hosts, all of them well.",
			"hung":    "100 hosts, 10 of which hang: they accept connections and never answer.",
			"halfway": "100 hosts, 10 of which stop answering half-way through the run.",
		}[name],
		Rate: 1000, Duration: 20 * time.Second, Workers: 64, Timeout: 2 * time.Second,
	}
	if s.About == "" {
		s.About = "One host of 100 endpoints (" + name + ")."
	}
	for n, sender := range sampleSenders {
		i := result.Isolation{
			Sender: sender.name, Healthy: 18000, P50: 900 * time.Microsecond, P99: 3 * time.Millisecond, Max: 8 * time.Millisecond,
			Connections: 12, Goroutines: 64 + 10*n, Memory: int64(20+n) << 20, CPU: 2100 * time.Millisecond,
		}
		for second := range 20 {
			// Some deterministic unrest.
			unrest := time.Duration(math.Abs(math.Sin(float64(second*7+n))) * float64(300*time.Microsecond))
			t := result.Second{Offered: 900, Arrived: 900, P50: 600*time.Microsecond + unrest, P99: 2*time.Millisecond + 5*unrest}
			if second >= 10 && sender.name != result.Signpost {
				t.Arrived = int(900 * sender.after * (1 + math.Cos(float64(second+n))*0.2))
				t.Arrived = min(t.Arrived, 900)
				t.P50, t.P99 = sender.late/2+unrest, sender.late+5*unrest
			}
			if sender.late == 0 && second > 11 {
				t.Arrived = 0
			}
			t.Max = t.P99 * 2
			i.Arrived += t.Arrived
			i.Timeline = append(i.Timeline, t)
		}
		s.Isolation = append(s.Isolation, i)
	}
	return s
}

func usages(median, beside time.Duration) []result.Usage {
	var u []result.Usage
	for _, f := range []float64{1, 0.95, 1.08, 0.99, 1.03} {
		total := float64(median) * f
		u = append(u, result.Usage{User: time.Duration(total * 0.6), System: time.Duration(total * 0.4), Beside: time.Duration(float64(beside) * f)})
	}
	return u
}

// benchmark takes units and medians in turn.
func benchmark(name string, values ...any) result.Benchmark {
	b := result.Benchmark{Name: name}
	for i := 0; i < len(values); i += 2 {
		var median float64
		switch v := values[i+1].(type) {
		case int:
			median = float64(v)
		case float64:
			median = v
		}
		b.Values = append(b.Values, result.Value{Unit: values[i].(string), Runs: []float64{median * 0.9, median, median * 1.2}})
	}
	return b
}
