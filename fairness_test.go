package signpost_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithRateLimit(rate.Inf, 0), signpost.WithHostConcurrency(10))
		window := func() int {
			for _, h := range d.Hosts() {
				return h.Window
			}
			return 0
		}
		w.set(always(reply{takes: 100 * time.Millisecond}))
		for range 20 { // one at a time: the window is never full
			send(t, d, "http://a.example/")
			time.Sleep(50 * time.Millisecond)
			assert.Equal(t, 4, window())
			time.Sleep(100 * time.Millisecond)
		}
		for range 200 {
			send(t, d, "http://a.example/")
		}
		time.Sleep(100*time.Millisecond + 1)
		assert.LessOrEqual(t, w.peak(""), 4, "it grows by one for each success")
		time.Sleep(2 * time.Second)
		assert.Equal(t, 10, w.peak("a.example"), "up to WithHostConcurrency")
		assert.Equal(t, 10, window())

		w.set(always(reply{status: 503, takes: 100 * time.Millisecond}))
		for range 10 {
			send(t, d, "http://a.example/")
		}
		for window() == 10 {
			time.Sleep(10 * time.Millisecond)
		}
		assert.Contains(t, []int{1, 5}, window(), "halved, or 1 if the second failure has come as well")
		require.NoError(t, d.Shutdown(ctx))
		assert.LessOrEqual(t, w.peak("a.example"), 10)
	})
}

func TestLimiterSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithRateLimit(10, 5))
		begin := time.Now()
		for range 25 {
			send(t, d, "http://a.example/")
			send(t, d, "http://b.example/")
		}
		require.NoError(t, d.Shutdown(ctx))
		for _, host := range []string{"a.example", "b.example"} {
			rs := w.seen(host)
			require.Len(t, rs, 25)
			for i, r := range rs {
				assert.InDelta(t, max(0, float64(i-4))*0.1, r.at.Sub(begin).Seconds(), 0.0001, "request %d to %s", i, host)
			}
		}
	})
}

// Failing hosts together hold at most half of the workers, however many they are.
func TestHalfOfTheWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithWorkers(8), signpost.WithTimeout(2*time.Second))
		w.set(func(r *request) reply {
			if r.host == "good.example" {
				return reply{takes: time.Millisecond}
			}
			return reply{takes: -1}
		})
		for i := range 20 {
			for range 5 {
				send(t, d, fmt.Sprintf("http://dead%d.example/", i))
			}
		}
		time.Sleep(30 * time.Second) // all have failed at least once
		for range 40 {
			begin := time.Now()
			id := send(t, d, "http://good.example/")
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			require.Equal(t, signpost.Delivered, l.last(id).State, "after %v", time.Since(begin))
			assert.LessOrEqual(t, w.now(""), 4)
			time.Sleep(250 * time.Millisecond)
		}
	})
}

// Failing endpoints together hold at most half of their host's window.
func TestHalfOfAHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithHostConcurrency(4), signpost.WithTimeout(2*time.Second), signpost.WithRateLimit(rate.Inf, 0))
		w.set(func(r *request) reply {
			if r.path == "/good" {
				return reply{takes: time.Millisecond}
			}
			return reply{status: 500, takes: time.Second}
		})
		for i := range 10 {
			for range 5 {
				send(t, d, fmt.Sprintf("http://shared.example/dead%d", i))
			}
		}
		time.Sleep(5 * time.Second)
		for range 20 {
			id := send(t, d, "http://shared.example/good")
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			require.Equal(t, signpost.Delivered, l.last(id).State)
			assert.LessOrEqual(t, w.now("shared.example"), 2)
			time.Sleep(333 * time.Millisecond)
		}
	})
}

// A hung endpoint on a host that answers others is the endpoint's fault.
func TestHungEndpointOnAHostThatAnswersOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithTimeout(2*time.Second), signpost.WithRateLimit(rate.Inf, 0))
		w.set(func(r *request) reply {
			if r.path == "/hung" {
				return reply{takes: -1}
			}
			return reply{takes: 10 * time.Millisecond}
		})
		for range 20 {
			send(t, d, "http://shared.example/hung")
		}
		for range 300 {
			send(t, d, "http://shared.example/other")
			time.Sleep(100 * time.Millisecond)
		}
		hosts := d.Hosts()
		require.Len(t, hosts, 1)
		assert.Equal(t, 1, hosts[0].Paused)
		assert.Equal(t, 4, hosts[0].Window, "a timeout beside answers is no failure of the host")
		assert.Equal(t, 1, w.peak("shared.example/hung"))
		assert.Equal(t, 300, l.count(signpost.Delivered, nil))
		id := send(t, d, "http://shared.example/third")
		time.Sleep(20 * time.Millisecond)
		assert.Equal(t, signpost.Delivered, l.last(id).State)
	})
}

// Idle workers go, and come back.
func TestWorkersFollowTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithWorkers(50), signpost.WithRateLimit(rate.Inf, 0))
		w.set(always(reply{takes: 100 * time.Millisecond}))
		for round := range 3 {
			for i := range 500 {
				send(t, d, fmt.Sprintf("http://h%d.example/", i))
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			assert.Equal(t, 500*(round+1), l.count(signpost.Delivered, nil))
		}
		assert.Equal(t, 50, w.peak(""))
		time.Sleep(time.Minute)
		assert.Zero(t, d.Stats().Hosts, "what has no work is forgotten")
	})
}

// A receiver that fails each message's first attempts is slow, but gets all: a retry isn't put behind what came later, so the
// breaker's probes reach messages that are about to succeed.
func TestReceiverThatFailsEveryMessageTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t)
		var mu sync.Mutex
		tries := map[string]int{}
		w.set(func(r *request) reply {
			mu.Lock()
			defer mu.Unlock()
			id := r.header.Get("webhook-id")
			if tries[id]++; tries[id] <= 2 {
				return reply{status: 500, takes: 10 * time.Millisecond}
			}
			return reply{takes: 10 * time.Millisecond}
		})
		var ids []string
		for range 100 {
			ids = append(ids, send(t, d, "http://a.example/hook"))
		}
		begin := time.Now()
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, 100, l.count(signpost.Delivered, nil))
		assert.Less(t, time.Since(begin), 30*time.Minute)
		t.Log(time.Since(begin))
		l.check(t, ids...)
	})
}

// A clock that stands still for hours, as on a laptop that sleeps, must not let everything go at once.
func TestOverdueWorkIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithRateLimit(10, 10))
		w.set(func(r *request) reply {
			if r.n < 1 {
				return reply{status: 429, retryAfter: "60"}
			}
			return reply{}
		})
		for i := range 200 {
			send(t, d, fmt.Sprintf("http://a.example/%d", i))
		}
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, 200, l.count(signpost.Delivered, nil))
		inASecond := map[time.Time]int{}
		for _, r := range w.seen("") {
			inASecond[r.at.Truncate(time.Second)]++
		}
		for at, n := range inASecond {
			assert.LessOrEqual(t, n, 20, "at %v", at)
		}
	})
}
