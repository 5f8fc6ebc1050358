package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

// The tests of this file run in synctest bubbles: their hours take milliseconds, and every goroutine of a
// dispatcher must have ended with it.

func always(r reply) func(*request) reply { return func(*request) reply { return r } }

// waits returns the times between requests.
func waits(rs []*request) (ds []time.Duration) {
	for i := 1; i < len(rs); i++ {
		ds = append(ds, rs[i].at.Sub(rs[i-1].at))
	}
	return ds
}

func TestDefaultBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t)
		w.set(always(reply{status: 500}))
		id := send(t, d, "http://a.example/")
		require.NoError(t, d.Shutdown(ctx))
		seconds := []float64{5, 15, 45, 135, 405, 1215, 3600}
		got := waits(w.seen(""))
		require.Len(t, got, len(seconds))
		for i, s := range seconds {
			assert.InDelta(t, s, got[i].Seconds(), s*0.2+0.001, "wait %d", i+1)
			assert.LessOrEqual(t, got[i], time.Hour)
		}
		o := l.last(id)
		assert.Equal(t, signpost.Dead, o.State)
		assert.Equal(t, signpost.ErrExhausted, o.Reason)
		assert.Equal(t, 8, o.Attempt.Number)
		assert.Equal(t, 500, o.Attempt.StatusCode)
		l.check(t, id)
	})
}

func TestStandardBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{
			BackOff: signpost.StandardBackOff, MaxAttempts: 100, MaxAge: 30 * 24 * time.Hour,
		}))
		w.set(always(reply{status: 500}))
		send(t, d, "http://a.example/")
		require.NoError(t, d.Shutdown(ctx))
		want := []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		}
		got := waits(w.seen(""))
		require.Len(t, got, len(want), "the schedule ends, and the attempts with it")
		for i := range want {
			assert.InDelta(t, want[i].Seconds(), got[i].Seconds(), want[i].Seconds()*0.2+0.001)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	date := func(layout string, d time.Duration) func() string {
		return func() string { return time.Now().UTC().Add(d).Format(layout) }
	}
	text := func(s string) func() string { return func() string { return s } }
	for _, c := range []struct {
		name     string
		value    func() string
		min, max time.Duration
	}{
		{"seconds", text("120"), 120 * time.Second, 132 * time.Second},
		{"RFC 1123", date(http.TimeFormat, 10*time.Minute), 10 * time.Minute, 11 * time.Minute},
		{"RFC 850", date("Monday, 02-Jan-06 15:04:05 GMT", 10*time.Minute), 10 * time.Minute, 11 * time.Minute},
		{"asctime", date(time.ANSIC, 10*time.Minute), 10 * time.Minute, 11 * time.Minute},
		{"a year, cut", text("31536000"), time.Hour, time.Hour},
		{"10^19 seconds, cut", text("10000000000000000000"), time.Hour, time.Hour},
		{"10^30 seconds, cut", text("1000000000000000000000000000000"), time.Hour, time.Hour},
		{"the year 9999, cut", text("Fri, 31 Dec 9999 23:59:59 GMT"), time.Hour, time.Hour},
		{"shorter than the backoff", text("1"), 4 * time.Second, 6 * time.Second},
		{"negative", text("-100"), 4 * time.Second, 6 * time.Second},
		{"garbage", text("soon"), 4 * time.Second, 6 * time.Second},
		{"a fraction", text("1.5e3"), 4 * time.Second, 6 * time.Second},
		{"the past", date(http.TimeFormat, -time.Hour), 4 * time.Second, 6 * time.Second},
		{"empty", text(" "), 4 * time.Second, 6 * time.Second},
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprintf("%s on %d", c.name, status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d, w, l := start(t)
					w.set(func(r *request) reply {
						if r.n == 0 {
							return reply{status: status, retryAfter: c.value()}
						}
						return reply{}
					})
					id := send(t, d, "http://a.example/")
					require.NoError(t, d.Shutdown(ctx))
					got := waits(w.seen(""))
					require.Len(t, got, 1)
					assert.GreaterOrEqual(t, got[0], c.min)
					assert.LessOrEqual(t, got[0], c.max)
					os := l.of(id)
					require.Len(t, os, 2)
					assert.Equal(t, signpost.Retrying, os[0].State)
					assert.Equal(t, w.seen("")[1].at, os[0].RetryAt, "what the observer was told came true")
				})
			})
		}
	}
}

func TestMaxRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxRetryAfter: time.Minute}))
		w.set(func(r *request) reply {
			return reply{status: map[bool]int{true: 429, false: 200}[r.n == 0], retryAfter: "3600"}
		})
		send(t, d, "http://a.example/")
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, []time.Duration{time.Minute}, waits(w.seen("")))
	})
}

// A pause holds the endpoint, spends no attempt of what waits behind it, and leaves the host's other
// endpoints alone.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t)
		w.set(func(r *request) reply {
			if r.path == "/slow?0" && r.n == 0 {
				return reply{status: 429, retryAfter: "600"}
			}
			return reply{}
		})
		begin := time.Now()
		var ids []string
		for i := range 10 {
			ids = append(ids, send(t, d, fmt.Sprintf("http://a.example/slow?%d", i)))
		}
		synctest.Wait()
		free := send(t, d, "http://a.example/free")
		synctest.Wait()
		assert.Equal(t, signpost.Delivered, l.last(free).State)
		hosts := d.Hosts()
		require.Len(t, hosts, 1)
		assert.Equal(t, "a.example:80", hosts[0].Host)
		assert.Equal(t, 1, hosts[0].Paused)
		assert.GreaterOrEqual(t, hosts[0].PausedUntil, begin.Add(10*time.Minute))
		assert.ErrorContains(t, hosts[0].LastError, "429")
		require.Len(t, w.seen(""), 2)

		require.NoError(t, d.Shutdown(ctx))
		l.check(t, ids...)
		for _, r := range w.seen("")[2:] {
			assert.GreaterOrEqual(t, r.at.Sub(begin), 10*time.Minute)
			assert.LessOrEqual(t, r.at.Sub(begin), 11*time.Minute+time.Second)
		}
		assert.EqualValues(t, 12, d.Stats().Attempts)
		assert.EqualValues(t, 1, d.Stats().Retries)
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 1, MaxAge: 1000 * time.Hour}), signpost.WithRateLimit(rate.Inf, 0))
		w.set(always(reply{status: 500}))
		for range 30 {
			send(t, d, "http://a.example/dead")
		}
		time.Sleep(time.Hour)
		rs := w.seen("")
		for i, wait := range waits(rs) {
			switch {
			case i < 4:
				assert.Zero(t, wait, "failure %d", i+2)
			default:
				assert.Equal(t, min(time.Second<<(i-4), 5*time.Minute), wait, "probe %d", i-3)
			}
		}
		assert.Greater(t, len(rs), 15)
		assert.EqualValues(t, len(rs), d.Stats().Attempts, "what waits spends no attempt")
		assert.Equal(t, 1, w.peak("a.example/dead"))

		w.set(always(reply{}))
		time.Sleep(5 * time.Minute) // the next probe succeeds, and closes it
		synctest.Wait()
		assert.EqualValues(t, 30-len(rs), l.count(signpost.Delivered, nil))
	})
}

func TestMaxAge(t *testing.T) {
	t.Run("at its next turn", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAge: 40 * time.Second}))
			w.set(always(reply{status: 500}))
			id := send(t, d, "http://a.example/")
			require.NoError(t, d.Shutdown(ctx))
			assert.Len(t, w.seen(""), 3, "at 0, 5 and 20 s; the one at 65 s would be too late")
			o := l.last(id)
			assert.Equal(t, signpost.ErrExpired, o.Reason)
			assert.Zero(t, o.Attempt)
			l.check(t, id)
		})
	})
	t.Run("behind a breaker", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAge: 10 * time.Minute}))
			w.set(always(reply{err: errors.New("connection refused")}))
			var ids []string
			for i := range 100 {
				ids = append(ids, send(t, d, fmt.Sprintf("http://dead.example/%d", i%10)))
			}
			begin := time.Now()
			require.NoError(t, d.Shutdown(ctx))
			l.check(t, ids...)
			assert.Equal(t, 100, l.count(signpost.Dead, nil))
			assert.Less(t, len(w.seen("")), 30)
			assert.LessOrEqual(t, time.Since(begin), 15*time.Minute, "MaxAge and one probe interval")
		})
	})
	t.Run("before it was sent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, l := start(t)
			m := &signpost.Message{ID: "old", URL: "http://a.example/", Payload: []byte(`{}`), CreatedAt: time.Now().Add(-25 * time.Hour)}
			require.NoError(t, d.Enqueue(ctx, m))
			require.NoError(t, d.Shutdown(ctx))
			assert.Empty(t, w.seen(""))
			assert.Equal(t, signpost.ErrExpired, l.last("old").Reason)
		})
	})
}

func TestMaxAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 3}))
		w.set(always(reply{status: 404}))
		m := &signpost.Message{ID: "handed-over", URL: "http://a.example/", Payload: []byte(`{}`), Attempts: 1}
		require.NoError(t, d.Enqueue(ctx, m))
		require.NoError(t, d.Shutdown(ctx))
		assert.Len(t, w.seen(""), 2, "one was made before")
		assert.Equal(t, signpost.ErrExhausted, l.last("handed-over").Reason)
		assert.Equal(t, 3, l.last("handed-over").Attempt.Number)
		assert.InDelta(t, 15, waits(w.seen(""))[0].Seconds(), 3, "the backoff goes on where it was")
	})
}

func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t)
		w.set(func(r *request) reply {
			switch {
			case r.path == "/hook?0" && r.n == 0:
				return reply{status: 500, takes: time.Second}
			case r.path == "/hook?0":
				return reply{status: 410, takes: time.Second}
			case r.path == "/other":
				return reply{status: 500}
			}
			return reply{takes: 3 * time.Second}
		})
		first := send(t, d, "http://a.example/hook?0")
		neighbour := send(t, d, "http://a.example/other")
		time.Sleep(2 * time.Second) // first waits for its retry
		var behind []string
		w.set(func(r *request) reply { return reply{status: 410, takes: time.Second} })
		for i := range 5 {
			behind = append(behind, send(t, d, fmt.Sprintf("http://a.example/hook?%d", i+1)))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for _, id := range append(behind, first) {
			assert.Equal(t, signpost.ErrGone, l.last(id).Reason, "due or waiting")
		}
		assert.Equal(t, 410, l.last(behind[0]).Attempt.StatusCode)
		assert.Zero(t, l.last(behind[4]).Attempt)
		assert.Equal(t, signpost.Retrying, l.last(neighbour).State, "another endpoint of the host")

		w.set(always(reply{}))
		later := send(t, d, "http://a.example/hook?9")
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, signpost.Delivered, l.last(later).State, "a message sent later is tried again")
		l.check(t, append(behind, first, later, neighbour)...)
	})
}

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

// What goes wrong on this machine says nothing of the receiver.
func TestLocalFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fail atomic.Bool
		fail.Store(true)
		d, w, l := start(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			if fail.Load() {
				return signpost.Endpoint{}, errors.New("the database is away")
			}
			return signpost.Endpoint{}, nil
		}))
		var ids []string
		for range 20 {
			ids = append(ids, send(t, d, "http://a.example/"))
		}
		synctest.Wait()
		assert.Zero(t, d.Hosts()[0].Paused)
		assert.True(t, d.Hosts()[0].PausedUntil.IsZero())
		assert.ErrorContains(t, d.Hosts()[0].LastError, "the database is away")
		fail.Store(false)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		assert.Equal(t, 20, l.count(signpost.Delivered, nil))
		assert.Len(t, w.seen(""), 20)
		l.check(t, ids...)
	})
}

// An endpoint whose signer can't sign is the service's mistake: mended, it costs no message.
func TestSignerThatCannotSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		d, w, l := start(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			secret := []byte("secret")
			if !mended.Load() {
				secret = nil
			}
			return signpost.Endpoint{Signer: signpost.HMACSigner("X-Signature", "", secret)}, nil
		}))
		id := send(t, d, "http://a.example/")
		synctest.Wait()
		assert.Equal(t, signpost.Retrying, l.last(id).State)
		assert.ErrorIs(t, l.last(id).Attempt.Err, signpost.ErrInvalid)
		assert.Empty(t, w.seen(""), "nothing goes out unsigned")
		mended.Store(true)
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, signpost.Delivered, l.last(id).State)
	})
}

func TestSharesOfAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithQueueSize(300), signpost.WithTimeout(time.Minute))
		w.set(always(reply{takes: -1}))
		fill := func(url string) (n int) {
			for {
				if _, err := d.Send(ctx, url, []byte(`{}`)); err != nil {
					require.ErrorIs(t, err, signpost.ErrQueueFull)
					return n
				}
				n++
			}
		}
		one := fill("http://dead.example/1")
		assert.Equal(t, 200, one, "an endpoint holds twice the free room at most")
		assert.Equal(t, 240, one+fill("http://dead.example/2"), "a host four times")
		assert.Equal(t, 40, fill("http://dead2.example/"), "the next one twice what is left")
		assert.Positive(t, fill("http://alive.example/"))
		assert.Less(t, d.Stats().Queued+d.Stats().InFlight, 300)
		assert.EqualValues(t, 2*d.Stats().Accepted, d.Stats().Bytes)
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithQueueBytes(1000), signpost.WithMaxPayload(1000))
		w.set(always(reply{takes: -1}))
		n := 0
		for i := range 1000 {
			if _, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/", i), make100()); err != nil {
				assert.ErrorIs(t, err, signpost.ErrQueueFull)
				break
			}
			n++
		}
		assert.Equal(t, 10, n)
		assert.EqualValues(t, 1000, d.Stats().Bytes)
	})
}

// Messages that have died keep their room until that is reported: a slow observer must not unbound the queue.
func TestQueueIsBoundedWhileDeathsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d, w, l := start(t, signpost.WithQueueSize(100), signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) { <-release }))
		w.set(always(reply{status: 410, takes: time.Second}))
		var ids []string
		for range 50 {
			for range 200 {
				if id, err := d.Send(ctx, "http://a.example/", 1); err == nil {
					ids = append(ids, id)
				}
			}
			time.Sleep(2 * time.Second)
			s := d.Stats()
			require.LessOrEqual(t, int(s.Accepted), 100)
			require.EqualValues(t, s.Accepted, s.Delivered+s.Dead+uint64(s.Queued+s.Waiting+s.InFlight))
		}
		close(release)
		require.NoError(t, d.Shutdown(ctx))
		l.check(t, ids...)
		assert.Zero(t, d.Stats().Bytes)
	})
}

func make100() []byte { return fmt.Appendf(nil, "%-100d", 1) }

func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithQueueSize(10), signpost.WithBackpressure(), signpost.WithRateLimit(rate.Inf, 0))
		w.set(always(reply{takes: time.Second}))
		results := make(chan string, 1000)
		for i := range 100 {
			go func() {
				id, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/%d", i%3, i%7), []byte(`{}`))
				assert.NoError(t, err)
				results <- id
			}()
		}
		synctest.Wait()
		assert.LessOrEqual(t, d.Stats().Accepted, uint64(10))
		assert.GreaterOrEqual(t, d.Stats().Accepted, uint64(8))

		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_, err := d.Send(short, "http://h0.example/0", []byte(`{}`))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var ids []string
		for range 100 {
			ids = append(ids, <-results)
		}
		require.NoError(t, d.Shutdown(ctx))
		l.check(t, ids...)
		assert.EqualValues(t, 100, d.Stats().Accepted, "whoever gave up was not accepted")
		assert.LessOrEqual(t, w.peak(""), 10)
	})
}

func TestBackpressureEndsWithTheDispatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithQueueSize(1), signpost.WithBackpressure())
		w.set(always(reply{takes: -1}))
		send(t, d, "http://a.example/")
		failed := make(chan error, 1)
		go func() {
			_, err := d.Send(ctx, "http://b.example/", []byte(`{}`))
			failed <- err
		}()
		synctest.Wait()
		var undelivered *signpost.UndeliveredError
		require.ErrorAs(t, d.Close(), &undelivered)
		assert.ErrorIs(t, <-failed, signpost.ErrClosed)
		assert.Len(t, undelivered.Messages, 1)
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

func TestDisabledEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
			return signpost.Endpoint{Disabled: url == "http://a.example/off"}, nil
		}))
		var off []string
		for range 20 {
			off = append(off, send(t, d, "http://a.example/off"))
		}
		on := send(t, d, "http://a.example/on")
		synctest.Wait()
		for _, id := range off {
			assert.Equal(t, signpost.ErrDisabled, l.last(id).Reason)
			assert.Zero(t, l.last(id).Attempt, "there was no attempt")
		}
		assert.Equal(t, signpost.Delivered, l.last(on).State)
		assert.Len(t, w.seen(""), 1)
		assert.EqualValues(t, 1, d.Stats().Attempts)
		assert.EqualValues(t, 20, d.Stats().Dead)
	})
}

// What waits behind the breaker of an endpoint that is then disabled dies at the next turn, not one message a probe.
func TestEndpointDisabledWhileItsBreakerIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off atomic.Bool
		d, w, l := start(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			return signpost.Endpoint{Disabled: off.Load()}, nil
		}))
		w.set(always(reply{status: 500}))
		for range 50 {
			send(t, d, "http://a.example/")
		}
		time.Sleep(time.Minute)
		off.Store(true)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		assert.Equal(t, 50, l.count(signpost.Dead, signpost.ErrDisabled))
		assert.Less(t, len(w.seen("")), 20)
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

func TestVerdictsOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{Classify: func(a signpost.Attempt) signpost.Verdict {
			switch a.StatusCode {
			case 302:
				return signpost.Accept
			case 400:
				return signpost.Reject
			}
			return signpost.Classify(a)
		}}))
		w.set(func(r *request) reply { return reply{status: map[string]int{"/302": 302, "/400": 400}[r.path]} })
		accepted, rejected := send(t, d, "http://a.example/302"), send(t, d, "http://a.example/400")
		synctest.Wait()
		assert.Equal(t, signpost.Delivered, l.last(accepted).State)
		assert.Equal(t, signpost.ErrRejected, l.last(rejected).Reason)
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
