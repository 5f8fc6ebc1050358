package sqlite

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A receiver that fails once for each message and then takes it recovers, though it is probed with one message at a time, ever
// more seldom while it fails, and new messages come all the time: the message that has failed is tried again, not another one.
func TestProbesComeBackToTheSameMessage(t *testing.T) {
	for _, name := range []string{"in memory", "in the file"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "queue.db")
				q := openQueue(t, path)
				defer func() { assert.NoError(t, q.Close()) }()
				var order, delivered []string
				add := func() {
					m := messageTo("http://a/", fmt.Sprint(len(order)))
					enqueue(t, q, m)
					order = append(order, m.ID)
				}
				const n = 20
				for range n {
					add()
				}
				if name == "in the file" {
					require.NoError(t, q.Close())
					q = openQueue(t, path)
				}
				interval := time.Second
				for probe := range 2 * n {
					l := receive(t, q)
					m := l.Message()
					add()
					if m.Attempts == 0 {
						interval *= 2
						retry := signpost.Outcome{State: signpost.Retrying, RetryAt: time.Now().Add(time.Second)}
						retry.Attempt.Number = 1
						require.NoError(t, l.Settle(t.Context(), retry))
					} else {
						interval = time.Second
						ok := signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 2}}
						require.NoError(t, l.Settle(t.Context(), ok))
						delivered = append(delivered, m.ID)
					}
					require.LessOrEqual(t, interval, 2*time.Second, "probe %d went to message %s, the last one failed with another", probe, m.ID)
					q.Hold(m.Endpoint(), time.Now().Add(interval))
				}
				assert.Equal(t, order[:n], delivered)
			})
		})
	}
}

// failingOnce answers 500 to the first request with a payload, and 204 to the next.
type failingOnce struct {
	mu       sync.Mutex
	seen     map[string]bool
	requests int
}

func (f *failingOnce) RoundTrip(req *http.Request) (*http.Response, error) {
	payload, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	status := http.StatusInternalServerError
	if f.seen[string(payload)] {
		status = http.StatusNoContent
	}
	f.seen[string(payload)] = true
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

// The same with a dispatcher and its breaker: each message takes the two attempts that it needs, and all are delivered soon.
func TestDispatcherRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		defer func() { assert.NoError(t, q.Close()) }()
		receiver := &failingOnce{seen: map[string]bool{}}
		const n = 20
		ended := make(chan signpost.State, n)
		d, err := signpost.New(
			signpost.WithQueue(q), signpost.WithoutSigning(), signpost.WithAllowedNetworks("127.0.0.0/8"),
			signpost.WithTransport(func(http.RoundTripper) http.RoundTripper { return receiver }),
			signpost.WithLogger(slog.New(slog.DiscardHandler)),
			signpost.WithObserver(func(_ context.Context, _ *signpost.Message, o signpost.Outcome) {
				if o.State == signpost.Delivered || o.State == signpost.Dead {
					ended <- o.State
				}
			}),
		)
		require.NoError(t, err)
		start := time.Now()
		for i := range n {
			_, err := d.Send(t.Context(), "http://127.0.0.1/", i)
			require.NoError(t, err)
		}
		for range n {
			assert.Equal(t, signpost.Delivered, <-ended)
		}
		t.Logf("%d requests, %v", receiver.requests, time.Since(start))
		assert.Equal(t, 2*n, receiver.requests)
		require.NoError(t, d.Shutdown(t.Context()))
	})
}
