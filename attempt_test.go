package signpost_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func transport(f roundTripper) signpost.Option {
	return signpost.WithTransport(func(http.RoundTripper) http.RoundTripper { return f })
}

// One worker's attempts share what their contexts are made of: each has its own deadline all the same, and finds
// nothing of what came before it. Every third attempt hangs; the others answer after 4 of 10 seconds.
func TestAttemptContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		answer := transport(func(req *http.Request) (*http.Response, error) {
			n++
			assert.NoError(t, req.Context().Err(), "attempt %d", n)
			deadline, _ := req.Context().Deadline()
			assert.Equal(t, 10*time.Second, time.Until(deadline), "attempt %d", n)
			takes := 4 * time.Second
			if n%3 == 1 {
				takes = time.Hour
			}
			select {
			case <-req.Context().Done():
				assert.Equal(t, context.DeadlineExceeded, req.Context().Err())
				return nil, req.Context().Err()
			case <-time.After(takes):
				return &http.Response{StatusCode: 500, Body: http.NoBody}, nil
			}
		})
		d, _, l := start(t, answer, signpost.WithWorkers(1), signpost.WithTimeout(10*time.Second),
			signpost.WithRetryPolicy(every(time.Minute)))
		id := send(t, d, "http://a.example/")
		time.Sleep(time.Hour)
		require.Len(t, l.of(id), 8)
		for i, o := range l.of(id) {
			if i%3 == 0 {
				assert.Equal(t, 10*time.Second, o.Attempt.Duration, "attempt %d", i+1)
				assert.ErrorIs(t, o.Attempt.Err, context.DeadlineExceeded, "attempt %d", i+1)
			} else {
				assert.Equal(t, 4*time.Second, o.Attempt.Duration, "attempt %d", i+1)
				assert.Equal(t, 500, o.Attempt.StatusCode, "attempt %d", i+1)
			}
		}
	})
}

// A transport of one's own may wait on a context that it has made of the request's, which says no more than that it was
// canceled. It is a timeout all the same.
func TestTimeoutBehindAnotherContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _, l := start(t, transport(func(req *http.Request) (*http.Response, error) {
			inner, cancel := context.WithCancel(req.Context())
			defer cancel()
			<-inner.Done()
			return nil, inner.Err()
		}))
		id := send(t, d, "http://a.example/")
		time.Sleep(16 * time.Second)
		a := l.last(id).Attempt
		assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
		assert.Equal(t, signpost.Throttle, signpost.Classify(a))
	})
}

// Without observers, durable queue and debug log nobody hears of a delivery: what counts is counted all the same, and
// what waits for its turn gets it.
func TestDeliveriesThatNobodyHearsOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(r *request) reply {
			if r.path == "/sometimes" && r.n%3 != 2 {
				return reply{status: 500}
			}
			return reply{takes: time.Second}
		}}
		d, err := signpost.New(signpost.WithSecret(whsec), quiet, signpost.WithTransport(w.transport), signpost.WithWorkers(2))
		require.NoError(t, err)
		for range 10 {
			send(t, d, "http://a.example/always")
			send(t, d, "http://b.example/always")
		}
		send(t, d, "http://c.example/sometimes")
		time.Sleep(time.Millisecond)
		s := d.Stats()
		assert.Equal(t, 2, s.InFlight)
		assert.Equal(t, 19, s.Queued)
		time.Sleep(time.Hour)
		s = d.Stats()
		assert.EqualValues(t, 21, s.Delivered)
		assert.EqualValues(t, 23, s.Attempts)
		assert.EqualValues(t, 2, s.Retries)
		assert.Zero(t, s.Queued+s.Waiting+s.InFlight)
		assert.Zero(t, s.Bytes)
		assert.Equal(t, 2, w.peak(""))
		assert.NoError(t, d.Shutdown(ctx))
	})
}
