package signpost_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

// A dispatcher leaves nothing held back: the next one on the same queue starts without.
func TestShutdownEndsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		d, w, _ := start(t, signpost.WithQueue(q))
		w.set(func(r *request) reply {
			if r.host == "busy.example" {
				return reply{status: 503, retryAfter: "7200"}
			}
			return reply{takes: -1}
		})
		fill(t, q, 200, "http://dead.example/?%d")
		fill(t, q, 200, "http://busy.example/?%d")
		time.Sleep(50 * time.Minute)
		assert.Positive(t, q.held("dead.example:80"))
		assert.Positive(t, q.held("http://busy.example:80/"))
		require.NoError(t, d.Close())
		for key := range q.until {
			assert.Zero(t, q.held(key), key)
		}
		calls := q.calls

		time.Sleep(time.Minute)
		next, _, l := start(t, signpost.WithQueue(q), signpost.WithRateLimit(rate.Inf, 0))
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, l.count(signpost.Delivered, nil), 190)
		assert.Equal(t, calls, q.calls, "there was no reason: no endpoint has more than its share of leases")
		require.NoError(t, next.Close())
	})
}

// A front has nothing to hold back, and neither has a dispatcher whose receivers are well.
func TestNoHoldWithoutReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		front, _, _ := start(t, signpost.WithQueue(q), signpost.WithWorkers(0))
		back, _, l := start(t, signpost.WithQueue(q))
		for i := range 300 {
			send(t, front, fmt.Sprintf("http://h%d.example/", i%3))
		}
		time.Sleep(time.Minute)
		assert.Equal(t, 300, l.count(signpost.Delivered, nil))
		assert.Zero(t, q.calls)
		require.NoError(t, front.Close())
		require.NoError(t, back.Close())
	})
}

// A Hold that panics, or ends its goroutine, costs nothing but the hold.
func TestHoldThatPanics(t *testing.T) {
	for name, end := range map[string]func(){"panics": func() { panic("hold") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := badHold{memqueue.NewHolding(), end}
				d, w, l := start(t, signpost.WithQueue(q))
				w.set(func(r *request) reply {
					if r.host == "dead.example" {
						return reply{takes: -1}
					}
					return reply{}
				})
				fill(t, q, 100, "http://dead.example/?%d")
				time.Sleep(5 * time.Minute)
				id := send(t, d, "http://alive.example/")
				synctest.Wait()
				assert.Equal(t, signpost.Delivered, l.last(id).State)
				if name == "panics" {
					assert.Positive(t, d.Stats().Panics)
					require.NoError(t, d.Close())
				}
			})
		})
	}
}

type badHold struct {
	memqueue.Holding
	end func()
}

func (q badHold) Hold(string, time.Time) { q.end() }

// Hold is called on one goroutine at a time, by nobody once Shutdown has returned, and what it says last holds.
func TestHoldIsNotCalledAfterShutdown(t *testing.T) {
	for range 10 {
		q := &strictHold{holdLog: newHoldLog(), t: t}
		d, err := signpost.New(quiet, signpost.WithoutSigning(), signpost.WithQueue(q), signpost.WithTransport(
			func(http.RoundTripper) http.RoundTripper { return refusing{} }))
		require.NoError(t, err)
		for i := range 50 {
			fill(t, q, 10, fmt.Sprintf("http://dead%d.example/?%%d", i))
		}
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for i := range 4 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/%d", i, n%5), 1); err != nil {
						return
					}
				}
			})
		}
		for q.began.Load() < 20 {
			runtime.Gosched()
		}
		for range 3 {
			wg.Go(func() {
				assert.NoError(t, d.Close())
				q.down.Store(true)
			})
		}
		wg.Wait()
		close(stop)
		for key := range q.until {
			assert.Zero(t, q.held(key), key)
		}
	}
}

type strictHold struct {
	*holdLog
	t     *testing.T
	busy  atomic.Bool
	down  atomic.Bool
	began atomic.Int64
}

func (q *strictHold) Hold(key string, until time.Time) {
	assert.True(q.t, q.busy.CompareAndSwap(false, true), "one call at a time")
	assert.False(q.t, q.down.Load(), "a call after Shutdown")
	q.began.Add(1)
	q.holdLog.Hold(key, until)
	runtime.Gosched()
	assert.False(q.t, q.down.Load(), "Shutdown didn't wait for the call")
	q.busy.Store(false)
}

type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
