package signpost_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

// kilobyte is a JSON document of 1 KiB.
var kilobyte = fmt.Appendf(nil, `{"data":"%s"}`, bytes.Repeat([]byte("x"), 1024-11))

// sendBatch is after how many messages BenchmarkSend and BenchmarkSendOf8 begin anew with an empty dispatcher: what is
// sent waits, for theirs is the cost of Send alone, and it shouldn't be that of a growing heap.
const sendBatch = 10_000

// emptied closes d, if there is one, and returns a new dispatcher, while the timer stands still.
func emptied(b *testing.B, d *signpost.Dispatcher) *signpost.Dispatcher {
	b.StopTimer()
	defer b.StartTimer()
	if d != nil {
		d.Close()
	}
	d, err := signpost.New(signpost.WithSecret(whsec), quiet, signpost.WithWorkers(0), signpost.WithQueueSize(10*sendBatch))
	require.NoError(b, err)
	return d
}

const sendURL = "https://hooks.example.com/services/T00000000/B00000000"

func BenchmarkSend(b *testing.B) {
	type event struct {
		Type string    `json:"type"`
		At   time.Time `json:"at"`
		Data []string  `json:"data"`
	}
	for _, c := range []struct {
		name    string
		payload any
	}{
		{"1 KiB of bytes", kilobyte},
		{"a struct", event{"user.created", time.Now(), []string{"a", "b", "c"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var d *signpost.Dispatcher
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%sendBatch == 0 {
					d = emptied(b, d)
				}
				if _, err := d.Send(ctx, sendURL, c.payload); err != nil {
					b.Fatal(err)
				}
			}
			d.Close()
		})
	}
}

// BenchmarkSendOf8 is Send of 1 KiB when 8 goroutines call it at the same time.
func BenchmarkSendOf8(b *testing.B) {
	const producers = 8
	var d *signpost.Dispatcher
	b.ReportAllocs()
	for begun := 0; begun < b.N; begun += sendBatch { // b.Loop counts for one goroutine
		d = emptied(b, d)
		var wg sync.WaitGroup
		for first := range producers {
			wg.Go(func() {
				for i := first; i < min(sendBatch, b.N-begun); i += producers {
					if _, err := d.Send(ctx, sendURL, kilobyte); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	d.Close()
}

func BenchmarkSign(b *testing.B) {
	secret, err := signpost.ParseSecret(whsec)
	require.NoError(b, err)
	signer, err := signpost.NewSigner(secret)
	require.NoError(b, err)
	m := &signpost.Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Payload: kilobyte}
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := signer.Sign(req, m, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	secret := signpost.NewSecret()
	signer, err := signpost.NewSigner(secret)
	require.NoError(b, err)
	v, err := signpost.NewVerifier(secret)
	require.NoError(b, err)
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	require.NoError(b, signer.Sign(req, &signpost.Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Payload: kilobyte}, time.Now()))
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Verify(req.Header, kilobyte); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDelivery is all that a delivered message costs, over a transport that answers at once.
func BenchmarkDelivery(b *testing.B) {
	answer := signpost.WithTransport(func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
		})
	})
	d, err := signpost.New(signpost.WithSecret(whsec), quiet, answer, signpost.WithRateLimit(rate.Inf, 0), signpost.WithBackpressure())
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Send(ctx, "https://hooks.example.com/", kilobyte); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, d.Shutdown(ctx))
}

// BenchmarkWaiting reports what a message that waits costs beyond its own strings and payload.
func BenchmarkWaiting(b *testing.B) {
	for _, c := range []struct {
		name string
		url  func(i int) string
	}{
		{"one endpoint", func(int) string { return "http://a.example/hook" }},
		{"an endpoint each", func(i int) string { return fmt.Sprintf("http://a.example/hook/%07d", i) }},
		{"a host each", func(i int) string { return fmt.Sprintf("http://h%07d.example/", i) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 1_000_000
			for b.Loop() {
				d, err := signpost.New(signpost.WithSecret(whsec), quiet, signpost.WithWorkers(0), signpost.WithQueueSize(100*n))
				require.NoError(b, err)
				own := 0
				before := heap()
				for i := range n {
					url := c.url(i)
					id, err := d.Send(ctx, url, []byte(`{}`))
					require.NoError(b, err)
					own += len(url) + len(id) + 8 // a payload of 2 bytes takes 8
				}
				b.ReportMetric(float64(heap()-before-own)/n, "B/message")
				b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
				d.Close()
			}
		})
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
