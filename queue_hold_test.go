package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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

// eachQueue runs a test in a bubble with a plain queue and with one that holds messages back. q is what the dispatcher
// is given, m what is behind it.
func eachQueue(t *testing.T, f func(t *testing.T, q signpost.Queue, m *memqueue.Queue)) {
	t.Run("plain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := memqueue.New()
			f(t, m, m)
		})
	})
	t.Run("holding", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := memqueue.NewHolding()
			f(t, h, h.Queue)
		})
	})
}

// A holdLog is a HoldingQueue that knows what is held back, and counts.
type holdLog struct {
	memqueue.Holding
	settles atomic.Int64

	mu    sync.Mutex
	until map[string]time.Time
	calls int
}

func newHoldLog() *holdLog {
	q := &holdLog{Holding: memqueue.NewHolding(), until: map[string]time.Time{}}
	q.Fail(func(op string) error {
		if op == "settle" {
			q.settles.Add(1)
		}
		return nil
	})
	return q
}

func (q *holdLog) Hold(key string, until time.Time) {
	q.mu.Lock()
	q.until[key] = until
	q.calls++
	q.mu.Unlock()
	q.Holding.Hold(key, until)
}

// held returns for how long a key is held back from now on.
func (q *holdLog) held(key string) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(0, time.Until(q.until[key]))
}

// fill enqueues n messages whose URL is what format makes of their number.
func fill(t *testing.T, q signpost.Queue, n int, format string) {
	t.Helper()
	msgs := make([]*signpost.Message, n)
	for i := range msgs {
		url := format
		if strings.Contains(format, "%d") {
			url = fmt.Sprintf(format, i)
		}
		id := fmt.Sprintf("%s#%d", strings.ReplaceAll(format, ".", "_"), i)
		msgs[i] = &signpost.Message{ID: id, URL: url, Payload: []byte(`{}`), CreatedAt: time.Now()}
	}
	require.NoError(t, q.Enqueue(ctx, msgs...))
}

// A dead host with a hundred thousand messages costs a handful of calls for each probe, and nobody else a thing.
func TestHeldHostCostsNothing(t *testing.T) {
	for name, dead := range map[string]reply{"hangs": {takes: -1}, "refuses": {err: io.ErrUnexpectedEOF}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newHoldLog()
				d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(1000))
				w.set(func(r *request) reply {
					if r.host == "dead.example" {
						return dead
					}
					return reply{takes: time.Millisecond}
				})
				fill(t, q, 100_000, "http://dead.example/%d")
				time.Sleep(time.Hour)

				const hours, each = 1, 20
				before, attempts := q.settles.Load(), len(w.seen("dead.example"))
				sent := map[string]time.Time{}
				for range hours * 60 {
					for i := range each {
						sent[send(t, d, fmt.Sprintf("http://alive%d.example/", i))] = time.Now()
					}
					time.Sleep(time.Minute)
				}
				probes := len(w.seen("dead.example")) - attempts
				assert.GreaterOrEqual(t, probes, hours*11, "there is a probe every 5 minutes")
				assert.LessOrEqual(t, probes, hours*12+1)
				assert.LessOrEqual(t, q.settles.Load()-before, int64(len(sent)+3*probes), "a handful of messages for each probe")
				for id, at := range sent {
					require.Equal(t, signpost.Delivered, l.last(id).State)
					require.Less(t, l.when(id).Sub(at), 100*time.Millisecond)
				}
				assert.Equal(t, 100_000, q.Len())
				require.NoError(t, d.Close())
			})
		})
	}
}

// When a host comes back its messages come with the next probe, and not when a hold is over that was made before.
func TestHoldEndsWithTheBreaker(t *testing.T) {
	for name, url := range map[string]string{"one endpoint": "http://a.example/", "many endpoints": "http://a.example/%d"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newHoldLog()
				d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(500), signpost.WithRateLimit(rate.Inf, 0))
				w.set(always(reply{takes: -1}))
				fill(t, q, 3000, url)
				time.Sleep(2 * time.Hour)
				assert.Positive(t, q.held("a.example:80"))
				back := time.Now()
				w.set(always(reply{takes: time.Millisecond}))
				time.Sleep(5*time.Minute + 5*time.Second)
				assert.Equal(t, 0, int(q.held("a.example:80")))
				if !strings.Contains(url, "%d") { // of many endpoints some have breakers of their own
					assert.Zero(t, q.Len())
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				assert.LessOrEqual(t, q.Len(), 10, "what was tried waits for its retry")
				assert.Zero(t, l.count(signpost.Dead, nil))
				assert.NotEmpty(t, w.seen("a.example"))
				assert.Less(t, time.Since(back), 11*time.Minute)
				require.NoError(t, d.Close())
			})
		})
	}
}

// A dead endpoint is held back, and not its host.
func TestHeldEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(300), signpost.WithRateLimit(rate.Inf, 0))
		w.set(func(r *request) reply {
			if strings.HasPrefix(r.path, "/dead") {
				return reply{status: 500}
			}
			return reply{takes: time.Millisecond}
		})
		fill(t, q, 3000, "http://a.example/dead?%d")
		time.Sleep(time.Hour)
		before, begin := q.settles.Load(), len(w.seen(""))
		var ids []string
		for i := range 1000 {
			ids = append(ids, send(t, d, fmt.Sprintf("http://a.example/fine/%d", i%10)))
			time.Sleep(10 * time.Second)
		}
		for _, id := range ids {
			require.Equal(t, signpost.Delivered, l.last(id).State)
			assert.Len(t, l.of(id), 1, "nothing of it went back")
		}
		probes := len(w.seen("")) - begin - len(ids)
		assert.LessOrEqual(t, probes, 35)
		assert.LessOrEqual(t, q.settles.Load()-before, int64(len(ids)+3*probes))
		assert.Zero(t, q.held("a.example:80"))

		w.set(always(reply{}))
		time.Sleep(5*time.Minute + 5*time.Second)
		assert.LessOrEqual(t, q.Len(), 3, "what was tried waits for its retry")
		require.NoError(t, d.Close())
	})
}

// What waits for a pause that the receiver asked for isn't touched before it is over, and then comes.
func TestHeldPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(300), signpost.WithRateLimit(rate.Inf, 0))
		begin := time.Now()
		w.set(func(*request) reply {
			if time.Since(begin) < time.Hour {
				return reply{status: 429, retryAfter: "3600"}
			}
			return reply{}
		})
		fill(t, q, 2000, "http://a.example/?%d")
		time.Sleep(time.Minute)
		assert.Equal(t, 59*time.Minute, q.held("http://a.example:80/"))
		before := q.settles.Load()
		time.Sleep(58 * time.Minute)
		assert.Equal(t, before, q.settles.Load(), "nothing came")
		time.Sleep(2 * time.Minute)
		assert.Zero(t, q.Len())
		assert.Equal(t, 2000, l.count(signpost.Delivered, nil))
		for _, r := range w.seen("")[1:] {
			assert.GreaterOrEqual(t, r.at.Sub(begin), time.Hour)
		}
		require.NoError(t, d.Close())
	})
}

// Whoever has more than its share of the room is held back, and gets what its rate limit lets through.
func TestHeldForWantOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(100), signpost.WithRateLimit(10, 10))
		begin := time.Now()
		fill(t, q, 3000, "http://a.example/?%d")
		sent := map[string]time.Time{}
		for i := range 250 {
			sent[send(t, d, fmt.Sprintf("http://h%d.example/", i%10))] = time.Now()
			time.Sleep(time.Second)
		}
		n := 0
		for _, r := range w.seen("a.example") {
			if since := r.at.Sub(begin); since >= 10*time.Second && since < 210*time.Second {
				n++
			}
		}
		assert.InDelta(t, 2000, n, 2, "10 a second")
		for id, at := range sent {
			require.Equal(t, at, l.when(id))
		}
		done := len(w.seen(""))
		assert.LessOrEqual(t, q.settles.Load(), int64(done+2*250), "about one a second goes back")
		require.NoError(t, d.Close())
	})
}

// A fast host isn't throttled by being held back: it gets more as soon as half of what it has has gone.
func TestFastHostIsNotThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(200), signpost.WithRateLimit(rate.Inf, 0))
		const n, takes = 3000, 20 * time.Millisecond
		w.set(always(reply{takes: takes}))
		begin := time.Now()
		fill(t, q, n, "http://a.example/?%d")
		for q.Len() > 0 {
			time.Sleep(takes)
		}
		assert.Less(t, time.Since(begin), n/32*takes*5/4, "its window is always in use")
		back := 0
		for i := range n {
			back += len(l.of(fmt.Sprintf("http://a_example/?%%d#%d", i))) - 1
		}
		assert.Positive(t, back)
		assert.Less(t, back, n/20, "few go back")
		require.NoError(t, d.Close())
	})
}

// One endpoint that hangs, with many messages that are older, doesn't take every probe of its host.
func TestHungEndpointLeavesProbesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := holdsHosts{memqueue.NewHolding()} // in which the older ones come first
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(100))
		w.set(func(r *request) reply {
			if strings.HasPrefix(r.path, "/hung") {
				return reply{takes: -1}
			}
			return reply{}
		})
		fill(t, q, 300, "http://a.example/hung?%d")
		time.Sleep(time.Hour)
		id := send(t, d, "http://a.example/fine")
		time.Sleep(6 * time.Minute)
		assert.Equal(t, signpost.Delivered, l.last(id).State)
		require.NoError(t, d.Close())
	})
}

type holdsHosts struct{ memqueue.Holding }

func (q holdsHosts) Hold(key string, until time.Time) {
	if !strings.Contains(key, "://") {
		q.Holding.Hold(key, until)
	}
}

// Messages that are never tried, since their endpoint is disabled or their time is over, don't wait a probe's time each.
func TestHoldEndsWithoutAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		var disabled atomic.Bool
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithQueueSize(100),
			signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAge: 2 * time.Hour}),
			signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
				return signpost.Endpoint{Disabled: disabled.Load()}, nil
			}))
		w.set(always(reply{takes: -1}))
		fill(t, q, 1000, "http://a.example/?%d")
		time.Sleep(time.Hour)
		assert.Zero(t, l.count(signpost.Dead, nil))
		disabled.Store(true)
		time.Sleep(6 * time.Minute)
		assert.Greater(t, l.count(signpost.Dead, signpost.ErrDisabled), 900)

		disabled.Store(false)
		fill(t, q, 1000, "http://b.example/?%d")
		time.Sleep(2*time.Hour + 6*time.Minute)
		assert.Greater(t, l.count(signpost.Dead, signpost.ErrExpired), 950)
		assert.Zero(t, q.Len())
		require.NoError(t, d.Close())
	})
}

// While the queue can't settle (a full disk), a host that has failed and is back gets what is accepted for it.
func TestWhatCannotBeSettledIsNoProbe(t *testing.T) {
	eachQueue(t, func(t *testing.T, q signpost.Queue, m *memqueue.Queue) {
		from := time.Now()
		m.Fail(func(op string) error {
			if op == "settle" && time.Since(from) < time.Hour {
				return errors.New("disk full")
			}
			return nil
		})
		d, w, l := start(t, signpost.WithQueue(q))
		w.set(always(reply{err: io.ErrUnexpectedEOF}))
		fill(t, q, 20, "http://a.example/")
		time.Sleep(3 * time.Second)
		w.set(always(reply{takes: time.Millisecond}))
		back := time.Now()
		id := send(t, d, "http://a.example/")
		time.Sleep(2 * time.Hour)
		assert.Equal(t, signpost.Delivered, l.last(id).State)
		assert.Less(t, l.when(id).Sub(back), 10*time.Minute)
		require.NoError(t, d.Close())
	})
}

// A queue may take long to settle, one over a network more than others: while a dead host's thousands of leases go back, messages
// for others come and are sent.
func TestLeasesThatGoBackHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newHoldLog()
		q.Fail(func(op string) error {
			if op == "settle" {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		})
		d, w, _ := start(t, signpost.WithQueue(q))
		w.set(func(r *request) reply {
			if r.host == "dead.example" {
				return reply{status: 503, takes: time.Second}
			}
			return reply{}
		})
		msgs := make([]*signpost.Message, 4000)
		for i := range msgs {
			msgs[i] = &signpost.Message{ID: fmt.Sprint(i), URL: fmt.Sprintf("http://dead.example/%d", i%16), Payload: []byte("{}"), CreatedAt: time.Now()}
		}
		require.NoError(t, q.Enqueue(ctx, msgs...))
		for n := range 100 {
			require.Len(t, w.seen("live.example"), n, "the one before has arrived; queued: %d", d.Stats().Queued)
			send(t, d, "http://live.example/")
			time.Sleep(200 * time.Millisecond)
		}
	})
}
