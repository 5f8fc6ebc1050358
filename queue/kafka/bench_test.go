package kafka

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkEnqueue is by one producer, and by 64 at a time.
func BenchmarkEnqueue(b *testing.B) {
	for _, producers := range []int{1, 64} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			q := openQueue(b, sharedBrokers(b), newPrefix(), WithPartitions(defaultPartitions))
			m := messageTo("https://example.com/hook", "msg")
			m.Payload = noise(1 << 10)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range producers {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if err := q.Enqueue(ctx, m); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkEndToEnd is from Send by 64 producers to delivered and settled, by one dispatcher, to ten hosts.
func BenchmarkEndToEnd(b *testing.B) {
	sc := newScene(b)
	d := sc.dispatcher(openQueue(b, sharedBrokers(b), newPrefix(), WithPartitions(defaultPartitions)))
	var urls []string
	for range 10 {
		urls = append(urls, sc.receiver(func(http.ResponseWriter, *http.Request) {}))
	}
	payload := noise(1 << 10)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if _, err := d.Send(ctx, urls[i%10], payload); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Eventually(b, func() bool { return d.Stats().Delivered >= uint64(b.N) }, patience, time.Millisecond)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
