package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

func TestDeliveryThroughAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, w, l := start(t, signpost.WithQueue(q))
		w.set(func(r *request) reply {
			if r.n < 2 {
				return reply{status: 500}
			}
			return reply{}
		})
		var ids []string
		for i := range 20 {
			ids = append(ids, send(t, d, fmt.Sprintf("http://h%d.example/%d", i%3, i)))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Zero(t, q.Len())
		l.check(t, ids...)
		assert.Len(t, w.seen(""), 60)
		assert.EqualValues(t, 40, d.Stats().Retries)
		for _, id := range ids {
			assert.Equal(t, 3, l.last(id).Attempt.Number, "attempts are counted over the queue")
		}
		assert.NoError(t, d.Shutdown(ctx))
	})
}

func TestDeadLettersOfAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, w, l := start(t, signpost.WithQueue(q))
		w.set(always(reply{status: 410}))
		require.NoError(t, q.Enqueue(ctx,
			&signpost.Message{ID: "foreign", URL: "ftp://a.example/", Payload: []byte(`{}`), CreatedAt: time.Now()},
			&signpost.Message{ID: "text", URL: "http://a.example/", Payload: []byte(`hello`), CreatedAt: time.Now()},
			&signpost.Message{ID: "old", URL: "http://a.example/", Payload: []byte(`{}`), CreatedAt: time.Now().Add(-25 * time.Hour)},
			&signpost.Message{ID: "gone", URL: "http://a.example/", Payload: []byte(`{}`), CreatedAt: time.Now()},
		))
		synctest.Wait()
		reasons := map[string]error{}
		for _, letter := range q.Dead() {
			reasons[letter.Message.ID] = letter.Reason
		}
		assert.ErrorIs(t, reasons["foreign"], signpost.ErrInvalid, "a message that nobody can send blocks nothing")
		assert.ErrorIs(t, reasons["text"], signpost.ErrInvalid)
		assert.Equal(t, signpost.ErrExpired, reasons["old"])
		assert.Equal(t, signpost.ErrGone, reasons["gone"])
		l.check(t, "foreign", "text", "old", "gone")
		require.NoError(t, d.Close())
	})
}

func TestEnqueueOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		front, w, _ := start(t, signpost.WithQueue(q), signpost.WithWorkers(0))
		id := send(t, front, "http://a.example/")
		time.Sleep(time.Minute)
		assert.Equal(t, 1, q.Len())
		assert.Empty(t, w.seen(""))
		require.NoError(t, front.Shutdown(ctx))
		_, err := front.Send(ctx, "http://a.example/", 1)
		assert.ErrorIs(t, err, signpost.ErrClosed)

		back, _, l := start(t, signpost.WithQueue(q))
		synctest.Wait()
		assert.Equal(t, signpost.Delivered, l.last(id).State)
		require.NoError(t, back.Shutdown(ctx))
	})
}

// A queue that fails costs nothing but time: Enqueue's error reaches the caller, Receive and Settle are tried again.
func TestQueueThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		away := errors.New("the broker is away")
		var mu sync.Mutex
		failing := map[string]bool{}
		set := func(op string, fails bool) {
			mu.Lock()
			defer mu.Unlock()
			failing[op] = fails
		}
		q.Fail(func(op string) error {
			mu.Lock()
			defer mu.Unlock()
			if failing[op] {
				return away
			}
			return nil
		})
		log := &logBuffer{}
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithLogger(textLogger(log)))

		set("enqueue", true)
		_, err := d.Send(ctx, "http://a.example/", 1)
		assert.ErrorIs(t, err, away)
		assert.Zero(t, d.Stats().Accepted)
		set("enqueue", false)

		set("settle", true)
		set("receive", true)
		var ids []string
		for i := range 30 {
			ids = append(ids, send(t, d, fmt.Sprintf("http://h%d.example/", i%5)))
		}
		time.Sleep(time.Minute)
		set("receive", false)
		time.Sleep(time.Minute)
		assert.Equal(t, 30, q.Len(), "nothing is settled yet")
		assert.Len(t, w.seen(""), 30, "delivered all the same")
		set("settle", false)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Zero(t, q.Len())
		assert.Len(t, w.seen(""), 30)
		l.check(t, ids...)
		assert.Contains(t, log.String(), "queue does not settle")
		assert.Contains(t, log.String(), "queue does not give messages")
		require.NoError(t, d.Shutdown(ctx))
	})
}

// Leases that have not ended go back unsettled, and the next dispatcher has them.
func TestShutdownReturnsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithTimeout(time.Hour))
		w.set(func(r *request) reply {
			if r.host == "hung.example" {
				return reply{takes: -1}
			}
			return reply{}
		})
		var ids []string
		for i := range 40 {
			ids = append(ids, send(t, d, fmt.Sprintf("http://%s.example/%d", []string{"hung", "fine"}[i%2], i)))
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		assert.NoError(t, d.Shutdown(short))
		assert.Equal(t, 20, l.count(signpost.Delivered, nil))
		assert.Equal(t, 20, q.Len())

		next, _, l2 := start(t, signpost.WithQueue(q.Reopen()))
		synctest.Wait()
		assert.Equal(t, 20, l2.count(signpost.Delivered, nil))
		require.NoError(t, next.Shutdown(ctx))
		for _, id := range ids {
			assert.Equal(t, 1, len(l.of(id))+len(l2.of(id)))
		}
	})
}

// What belongs to a paused endpoint goes back to the queue, without an attempt and not before the pause is over.
func TestPausedMessagesGoBack(t *testing.T) {
	eachQueue(t, func(t *testing.T, queue signpost.Queue, q *memqueue.Queue) {
		d, w, l := start(t, signpost.WithQueue(queue), signpost.WithRateLimit(rate.Inf, 0))
		w.set(func(r *request) reply {
			if strings.HasPrefix(r.path, "/busy") && r.path == "/busy?0" && r.n == 0 {
				return reply{status: 429, retryAfter: "600"}
			}
			return reply{}
		})
		begin := time.Now()
		var ids []string
		for i := range 500 {
			ids = append(ids, send(t, d, fmt.Sprintf("http://a.example/busy?%d", i)))
		}
		time.Sleep(time.Minute)
		assert.Zero(t, d.Stats().Queued, "nothing of a paused endpoint fills the window")
		other := send(t, d, "http://a.example/other")
		synctest.Wait()
		assert.Equal(t, signpost.Delivered, l.last(other).State)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		assert.Zero(t, q.Len())
		l.check(t, ids...)
		for i, r := range w.seen("") {
			if i > 0 && strings.HasPrefix(r.path, "/busy") {
				assert.GreaterOrEqual(t, r.at.Sub(begin), 10*time.Minute)
			}
		}
		assert.EqualValues(t, 502, d.Stats().Attempts)
		require.NoError(t, d.Shutdown(ctx))
	})
}

// A dead host with many messages never holds more than its share of the window, and the others' are delivered.
func TestDeadHostDoesNotFillTheWindow(t *testing.T) {
	eachQueue(t, func(t *testing.T, queue signpost.Queue, q *memqueue.Queue) {
		d, w, l := start(t, signpost.WithQueue(queue), signpost.WithQueueSize(100), signpost.WithRateLimit(rate.Inf, 0), signpost.WithTimeout(2*time.Second),
			signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAge: time.Hour}))
		w.set(func(r *request) reply {
			if r.host == "dead.example" {
				return reply{takes: -1}
			}
			return reply{takes: time.Millisecond}
		})
		for i := range 500 {
			send(t, d, fmt.Sprintf("http://dead.example/%d", i%3))
		}
		synctest.Wait()
		var alive []string
		for i := range 200 {
			alive = append(alive, send(t, d, fmt.Sprintf("http://alive%d.example/", i%10)))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, id := range alive {
			assert.Equal(t, signpost.Delivered, l.last(id).State)
		}
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		assert.Zero(t, q.Len(), "all of the dead host's have ended: %d", l.count(signpost.Dead, signpost.ErrExpired))
		assert.Equal(t, 500, l.count(signpost.Dead, nil))
		require.NoError(t, d.Shutdown(ctx))
	})
}

// The same with a queue whose operations take their time: what goes back and comes again must not crowd out the others.
func TestHealthyHostsBesideABacklog(t *testing.T) {
	for name, bad := range map[string]reply{
		"hangs": {takes: -1}, "answers 500": {status: 500}, "slow": {takes: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			eachQueue(t, func(t *testing.T, queue signpost.Queue, q *memqueue.Queue) {
				d, w, l := start(t, signpost.WithQueue(queue), signpost.WithQueueSize(1000))
				w.set(func(r *request) reply {
					if r.host == "bad.example" {
						return bad
					}
					return reply{takes: time.Millisecond}
				})
				for i := range 3000 {
					send(t, d, fmt.Sprintf("http://bad.example/%d", i%20))
				}
				time.Sleep(time.Minute) // the backlog has been seen once
				q.Fail(func(op string) error {
					switch op {
					case "settle":
						time.Sleep(5 * time.Millisecond)
					case "receive":
						time.Sleep(200 * time.Microsecond)
					}
					return nil
				})
				sent := map[string]time.Time{}
				for i := range 600 {
					sent[send(t, d, fmt.Sprintf("http://h%d.example/", i%20))] = time.Now()
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(time.Minute)
				for id, at := range sent {
					require.Equal(t, signpost.Delivered, l.last(id).State)
					assert.Less(t, l.when(id).Sub(at), 500*time.Millisecond)
				}
				require.NoError(t, d.Close())
			})
		})
	}
}

// A Send that races with Shutdown is in the queue before Shutdown returns, so that the queue may be closed.
func TestShutdownWaitsForEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		q.Fail(func(op string) error {
			if op == "enqueue" {
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		})
		d, _, l := start(t, signpost.WithQueue(q))
		sent := make(chan error, 1)
		go func() {
			_, err := d.Send(ctx, "http://a.example/", 1)
			sent <- err
		}()
		synctest.Wait()
		require.NoError(t, d.Shutdown(ctx))
		require.NoError(t, q.Close())
		assert.NoError(t, <-sent)
		assert.Equal(t, 1, q.Len()+l.count(signpost.Delivered, nil))
	})
}

// What was delivered as the dispatcher ended is settled, and doesn't come again.
func TestSettleOutlivesTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		q.Fail(func(op string) error {
			if op == "settle" {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		})
		d, _, l := start(t, signpost.WithQueue(q))
		id := send(t, d, "http://a.example/")
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, d.Close())
		assert.Equal(t, signpost.Delivered, l.last(id).State)
		assert.Zero(t, q.Len())
	})
}

// A producer in another language may know of nothing but the URL.
func TestLeasedMessageWithoutCreationTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, _, l := start(t, signpost.WithQueue(q))
		require.NoError(t, q.Enqueue(ctx, &signpost.Message{ID: "foreign", URL: "http://a.example/", Payload: []byte(`{}`)}))
		synctest.Wait()
		assert.Equal(t, signpost.Delivered, l.last("foreign").State)
		require.NoError(t, d.Close())
	})
}

// A shared is one dispatcher's end of a queue that deals messages out evenly, as brokers do.
type shared struct {
	*memqueue.Queue
	ends []*memqueue.Queue
}

func (s shared) Consumers(context.Context) (int, error) { return len(s.ends), nil }

func TestSharedQueueDividesTheRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := []*memqueue.Queue{memqueue.New(), memqueue.New()}
		worlds := [2]*world{}
		var ds [2]*signpost.Dispatcher
		for i := range ds {
			ds[i], worlds[i], _ = start(t, signpost.WithQueue(shared{ends[i], ends}), signpost.WithRateLimit(20, 20))
		}
		synctest.Wait()
		begin := time.Now()
		for i := range 400 {
			send(t, ds[i%2], "http://a.example/")
		}
		for ends[0].Len()+ends[1].Len() > 0 {
			time.Sleep(time.Second)
		}
		n := 0
		for _, w := range worlds {
			for _, r := range w.seen("") {
				if since := r.at.Sub(begin); since >= 5*time.Second && since < 15*time.Second {
					n++
				}
			}
		}
		assert.InDelta(t, 200, n, 4, "20 a second over both")
		for _, d := range ds {
			require.NoError(t, d.Shutdown(ctx))
		}
	})
}

// A message that its queue has given to somebody else isn't sent from here as well.
func TestNoAttemptOnALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, w, l := start(t, signpost.WithQueue(q), signpost.WithRateLimit(1, 1))
		for i := range 10 {
			send(t, d, fmt.Sprintf("http://a.example/%d", i))
		}
		time.Sleep(3500 * time.Millisecond)
		require.Len(t, w.seen(""), 4)
		next := q.Reopen()
		time.Sleep(time.Minute)
		assert.Len(t, w.seen(""), 4, "the leases are lost")
		assert.Zero(t, d.Stats().Queued+d.Stats().Waiting+d.Stats().InFlight, "and nothing is left of them")
		assert.EqualValues(t, 4, d.Stats().Attempts)
		assert.Equal(t, 4, l.count(signpost.Delivered, nil))

		other, w, _ := start(t, signpost.WithQueue(next))
		time.Sleep(time.Minute)
		assert.Len(t, w.seen(""), 6)
		assert.Zero(t, next.Len())
		require.NoError(t, d.Shutdown(ctx))
		require.NoError(t, other.Shutdown(ctx))
	})
}

// A lease whose Lost panics is taken for one that is out.
func TestLostThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, _, l := start(t, signpost.WithQueue(panicking{q}), quiet)
		id := send(t, d, "http://a.example/")
		synctest.Wait()
		l.check(t, id)
		assert.EqualValues(t, 1, d.Stats().Panics)
		assert.Zero(t, q.Len())
		require.NoError(t, d.Shutdown(ctx))
	})
}

type panicking struct{ *memqueue.Queue }

func (q panicking) Receive(ctx context.Context) (signpost.Lease, error) {
	l, err := q.Queue.Receive(ctx)
	return panickingLease{l}, err
}

type panickingLease struct{ signpost.Lease }

func (panickingLease) Lost() bool { panic("lost") }

// A lease whose Lost calls runtime.Goexit isn't settled as the one before.
func TestLostThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memqueue.New()
		d, w, l := start(t, signpost.WithQueue(exiting{q, new(atomic.Int64)}), signpost.WithWorkers(1), quiet)
		first := send(t, d, "http://a.example/")
		synctest.Wait()
		second := send(t, d, "http://a.example/")
		time.Sleep(time.Hour)
		synctest.Wait()
		l.check(t, first, second)
		assert.Len(t, w.seen(""), 2)
		assert.Zero(t, q.Len())
		require.NoError(t, d.Shutdown(ctx))
	})
}

// In an exiting queue the second call of Lost ends its goroutine.
type exiting struct {
	*memqueue.Queue
	n *atomic.Int64
}

func (q exiting) Receive(ctx context.Context) (signpost.Lease, error) {
	l, err := q.Queue.Receive(ctx)
	return exitingLease{l, q.n}, err
}

type exitingLease struct {
	signpost.Lease
	n *atomic.Int64
}

func (l exitingLease) Lost() bool {
	if l.n.Add(1) == 2 {
		runtime.Goexit()
	}
	return false
}
