package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
