package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// What the file says after a Settle.
func TestSettleRecords(t *testing.T) {
	start := time.UnixMilli(1700000000123)
	attempt := signpost.Attempt{
		Number: 3, Start: start, Duration: 1500 * time.Microsecond, StatusCode: 500, Body: []byte(strings.Repeat("x", 2000)),
	}
	for _, tt := range []struct {
		name     string
		outcome  signpost.Outcome
		want     string // state, attempts, reason
		attempts string // in the log
	}{
		{name: "delivered", outcome: signpost.Outcome{State: signpost.Delivered, Attempt: attempt}, want: "delivered 3 -", attempts: "1 3 1700000000123 1500 500 - 1024"},
		{name: "dead", outcome: signpost.Outcome{State: signpost.Dead, Attempt: attempt, Reason: signpost.ErrExhausted},
			want: "dead 3 " + signpost.ErrExhausted.Error(), attempts: "1 3 1700000000123 1500 500 - 1024"},
		{name: "dead without an attempt", outcome: signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired}, want: "dead 2 " + signpost.ErrExpired.Error()},
		{name: "retrying", outcome: signpost.Outcome{State: signpost.Retrying, Attempt: signpost.Attempt{Number: 3, Start: start, Err: errors.New("no route")}},
			want: "pending 3 -", attempts: "1 3 1700000000123 0 - no route -"},
		{name: "retrying without an attempt", outcome: signpost.Outcome{State: signpost.Retrying}, want: "pending 3 -"},
		{name: "deferred", outcome: signpost.Outcome{State: signpost.Deferred, Attempt: attempt}, want: "pending 2 -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newQueue(t)
			m := messageTo("http://a/", "a")
			m.Attempts = 2
			enqueue(t, q, m)
			l := receive(t, q)
			require.NoError(t, l.Settle(t.Context(), tt.outcome))
			assert.ErrorIs(t, l.Settle(t.Context(), tt.outcome), signpost.ErrSettled)
			assert.Equal(t, tt.want, ask[string](t, q.file.path, "SELECT state || ' ' || attempts || ' ' || coalesce(reason, '-') FROM messages"))
			assert.Equal(t, tt.attempts, ask[string](t, q.file.path, `SELECT coalesce(group_concat(concat_ws(' ', nth, number, started_at, duration_us,
				coalesce(status, '-'), coalesce(error, '-'), coalesce(length(response), '-'))), '') FROM attempts`))
		})
	}
}

func TestSettleRefusesOutcomeWithoutState(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, messageTo("http://a/", "a"))
	l := receive(t, q)
	assert.ErrorContains(t, l.Settle(t.Context(), signpost.Outcome{}), "State(0)")
	assert.ErrorContains(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Deferred + 1}), "give Delivered")
	assert.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
}

// RetryAt is kept to the millisecond, rounded up, however far away it is; a time in the past is now.
func TestSettleRetryAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		defer q.Close()
		enqueue(t, q, messageTo("http://a/", "a"))
		for _, tt := range []struct {
			at   time.Time
			wait time.Duration
		}{
			{time.Now().Add(time.Hour), time.Hour},
			{time.Now().Add(2*time.Hour + time.Nanosecond), time.Hour + time.Millisecond},
			{time.Now().Add(-time.Hour), 0},
			{time.Time{}, 0},
			{time.Now().Add(3 * time.Hour).Round(0).UTC(), time.Hour - time.Millisecond},
		} {
			l, settled := receive(t, q), time.Now()
			require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Deferred, RetryAt: tt.at}))
			l = receive(t, q)
			assert.Equal(t, tt.wait, time.Since(settled))
			require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Deferred}))
		}
		for _, year := range []int{2150, 2300, 9999} {
			l := receive(t, q)
			require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Deferred, RetryAt: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)}))
			ctx, cancel := context.WithTimeout(t.Context(), 90*365*24*time.Hour)
			_, err := q.Receive(ctx)
			cancel()
			assert.ErrorIs(t, err, context.DeadlineExceeded, "year %d", year)
			enqueue(t, q, messageTo("http://a/", time.Now().String()))
		}
	})
}

// Of calls at once one settles, and the others hear that it is settled.
func TestSettleAtOnce(t *testing.T) {
	q := newQueue(t)
	for range 10 {
		enqueue(t, q, messageTo("http://a/", time.Now().String()))
		l := receive(t, q)
		var settled atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}); err == nil {
					settled.Add(1)
				} else {
					assert.ErrorIs(t, err, signpost.ErrSettled)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, settled.Load())
	}
}

// busyQueue returns a queue whose writer is busy, a lease that it gave, and what frees the writer.
func busyQueue(t *testing.T) (q *Queue, l signpost.Lease, release func()) {
	t.Helper()
	q = newQueue(t)
	enqueue(t, q, messageTo("http://a/", "a"))
	l = receive(t, q)
	release = blockWriter(t, q.file.path)
	require.NoError(t, q.writer.post(jobFor(arrivalOf(q, messageTo("http://b/", "b")))))
	awaitJobs(q, 0)
	return q, l, release
}

// A Settle that is cut off before it was begun leaves the lease as it was.
func TestSettleWithdrawn(t *testing.T) {
	q, l, release := busyQueue(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.ErrorIs(t, l.Settle(ctx, signpost.Outcome{State: signpost.Dead}), context.Canceled) })
	awaitJobs(q, 1)
	cancel()
	wg.Wait()
	release()
	assert.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
	assert.Equal(t, "delivered", ask[string](t, q.file.path, "SELECT state FROM messages WHERE id = 'a'"))
}

// A call that gives up waiting for another one's Settle takes nothing from that.
func TestSettleOfAnotherCallStays(t *testing.T) {
	q, l, release := busyQueue(t)
	var wg sync.WaitGroup
	wg.Go(func() { assert.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered})) })
	awaitJobs(q, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, l.Settle(ctx, signpost.Outcome{State: signpost.Dead}), context.DeadlineExceeded)
	awaitJobs(q, 1)
	release()
	wg.Wait()
}

// If the first caller's Settle is withdrawn, the one who waited for it has a turn.
func TestSettleAfterWithdrawnOne(t *testing.T) {
	q, l, release := busyQueue(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { assert.ErrorIs(t, l.Settle(ctx, signpost.Outcome{State: signpost.Dead}), context.Canceled) })
	awaitJobs(q, 1)
	wg.Go(func() { assert.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered})) })
	cancel()
	release()
	wg.Wait()
	assert.Equal(t, "delivered", ask[string](t, q.file.path, "SELECT state FROM messages WHERE id = 'a'"))
}

// A caller who has left while the file was written may ask again, once, and hears that it worked.
func TestSettleCutOff(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, messageTo("http://a/", "a"))
	l := receive(t, q)
	release := blockWriter(t, q.file.path)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	delivered := signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1}}
	wg.Go(func() { assert.ErrorIs(t, l.Settle(ctx, delivered), context.Canceled) })
	for { // until the writer has it
		given := l.(*lease)
		given.mu.Lock()
		begun := given.job != nil
		given.mu.Unlock()
		if begun {
			break
		}
	}
	awaitJobs(q, 0)
	cancel()
	wg.Wait()
	release()
	assert.NoError(t, l.Settle(t.Context(), delivered), "it was begun, and worked")
	assert.ErrorIs(t, l.Settle(t.Context(), delivered), signpost.ErrSettled)
	assert.Equal(t, 1, ask[int](t, q.file.path, "SELECT count(*) FROM attempts"))
}

// A Settle that waits when the queue is closed has lost its lease, as every later one has.
func TestSettleWhileClosing(t *testing.T) {
	q, l, release := busyQueue(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered})
		assert.ErrorIs(t, err, signpost.ErrLeaseLost)
		assert.ErrorIs(t, err, ErrClosed)
	})
	awaitJobs(q, 1)
	wg.Go(func() { assert.NoError(t, q.Close()) })
	for stopped := false; !stopped; {
		q.writer.mu.Lock()
		stopped = q.writer.stopped
		q.writer.mu.Unlock()
	}
	release()
	wg.Wait()
}

// If somebody has changed the file the lease is lost, and nothing else.
func TestSettleLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path)
	enqueue(t, q, messageTo("http://a/", "a"), messageTo("http://a/", "b"))
	l := receive(t, q)
	change(t, path, "DELETE FROM messages WHERE id = 'a'")
	assert.ErrorIs(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}), signpost.ErrLeaseLost)
	assert.ErrorIs(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}), signpost.ErrLeaseLost)
	require.NoError(t, receive(t, q).Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
	nothing(t, q)
	assert.Empty(t, q.lines.out)
}
