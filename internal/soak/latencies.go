package main

import (
	"math"
	"sync"
	"time"
)

// latencies are a histogram: they take the same room, however many they are. A quantile is exact to 2 %.
type latencies struct {
	mu      sync.Mutex // protects the following fields
	buckets [bucketCount]int
	n       int
	max     time.Duration
}

const (
	bucketCount = 1200 // the last one begins at 20 minutes or so
	bucketRatio = 1.0175
)

func (l *latencies) add(d time.Duration) {
	i := 0
	if us := d.Microseconds(); us > 1 {
		i = min(bucketCount-1, int(math.Log(float64(us))/math.Log(bucketRatio)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buckets[i]++
	l.n++
	l.max = max(l.max, d)
}

// quantiles are what a histogram says.
type quantiles struct {
	n             int
	p50, p99, max time.Duration
}

func (l *latencies) quantiles() quantiles {
	l.mu.Lock()
	defer l.mu.Unlock()
	return quantiles{l.n, l.quantileLocked(0.5), l.quantileLocked(0.99), l.max}
}

// take is quantiles, and begins anew.
func (l *latencies) take() quantiles {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := quantiles{l.n, l.quantileLocked(0.5), l.quantileLocked(0.99), l.max}
	l.buckets, l.n, l.max = [bucketCount]int{}, 0, 0
	return q
}

func (l *latencies) quantileLocked(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(l.n)))
	for i, n := range l.buckets {
		if rank -= n; rank <= 0 && n > 0 {
			upper := time.Duration(math.Pow(bucketRatio, float64(i+1)) * float64(time.Microsecond))
			return min(upper, l.max)
		}
	}
	return 0
}
