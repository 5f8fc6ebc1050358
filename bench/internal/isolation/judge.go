package isolation

import (
	"math"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// Judge says how the messages of a load that count have fared, by what the receivers have seen. A message that
// arrived after the load's end has not arrived.
func Judge(load client.Load, loaded client.Loaded, report receiver.Report, counts func(message int) bool) result.Isolation {
	var (
		m         result.Isolation
		latencies []time.Duration
		seconds   = make([][]time.Duration, int(time.Duration(load.Count)*load.Interval+time.Second-1)/int(time.Second))
	)
	m.Timeline = make([]result.Second, len(seconds))
	for i := range load.Count {
		if !counts(load.First + i) {
			continue
		}
		second := int(load.Time(i).Sub(load.Start) / time.Second)
		m.Healthy++
		m.Timeline[second].Offered++
		at := report.Arrivals[load.First+i]
		if at == 0 || at > load.End {
			continue
		}
		latency := max(0, at.Sub(load.Time(i)))
		latencies = append(latencies, latency)
		seconds[second] = append(seconds[second], latency)
	}
	for _, n := range loaded.Refused {
		if counts(n) {
			m.Refused++
		}
	}
	m.Arrived = len(latencies)
	m.P50, m.P99, m.Max = quantiles(latencies)
	for i, l := range seconds {
		t := &m.Timeline[i]
		t.Arrived = len(l)
		t.P50, t.P99, t.Max = quantiles(l)
	}
	return m
}

// quantiles sorts l and returns its median, 99th percentile and maximum; 0 of nothing.
func quantiles(l []time.Duration) (p50, p99, most time.Duration) {
	if len(l) == 0 {
		return 0, 0, 0
	}
	slices.Sort(l)
	return quantile(l, 0.5), quantile(l, 0.99), l[len(l)-1]
}

// quantile returns the least value that at least the part q of the sorted values do not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
