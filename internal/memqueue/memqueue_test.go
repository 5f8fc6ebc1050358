package memqueue

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// The contract of a queue is tested by package queuetest, on this one.

func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); code == 0 && n > before {
		fmt.Fprintf(os.Stderr, "%d goroutines were left by the tests\n", n-before)
		code = 1
	}
	os.Exit(code)
}

func enqueue(t *testing.T, q *Queue, ids ...string) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, q.Enqueue(t.Context(), &signpost.Message{ID: id, Attempts: 3}))
	}
}

func receive(t *testing.T, q *Queue) signpost.Lease {
	t.Helper()
	l, err := q.Receive(t.Context())
	require.NoError(t, err)
	return l
}

func TestSettle(t *testing.T) {
	for _, tt := range []struct {
		name     string
		outcome  signpost.Outcome
		comes    bool
		attempts int
		dead     []DeadLetter
	}{
		{name: "delivered", outcome: signpost.Outcome{State: signpost.Delivered}},
		{name: "retrying", outcome: signpost.Outcome{State: signpost.Retrying}, comes: true, attempts: 4},
		{name: "deferred", outcome: signpost.Outcome{State: signpost.Deferred}, comes: true, attempts: 3},
		{
			name:    "dead after an attempt",
			outcome: signpost.Outcome{State: signpost.Dead, Attempt: signpost.Attempt{Number: 4}, Reason: signpost.ErrExhausted},
			dead:    []DeadLetter{{Message: &signpost.Message{ID: "1", Attempts: 4}, Reason: signpost.ErrExhausted}},
		},
		{
			name:    "dead without an attempt",
			outcome: signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired},
			dead:    []DeadLetter{{Message: &signpost.Message{ID: "1", Attempts: 3}, Reason: signpost.ErrExpired}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := New()
				enqueue(t, q, "1")
				at := time.Now().Add(time.Minute)
				tt.outcome.RetryAt = at
				l := receive(t, q)
				assert.Equal(t, 1, q.Len(), "a leased message has not ended")
				require.NoError(t, l.Settle(t.Context(), tt.outcome))
				assert.ErrorIs(t, l.Settle(t.Context(), tt.outcome), signpost.ErrSettled)
				assert.Equal(t, tt.dead, q.Dead())
				if !tt.comes {
					assert.Zero(t, q.Len())
					return
				}
				l = receive(t, q)
				assert.Equal(t, at, time.Now(), "it comes when it is due, to the nanosecond")
				assert.Equal(t, tt.attempts, l.Message().Attempts)
			})
		})
	}
}

func TestSettleRefusesOutcomeWithoutState(t *testing.T) {
	q := New()
	enqueue(t, q, "1")
	l := receive(t, q)
	require.Error(t, l.Settle(t.Context(), signpost.Outcome{}))
	require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}), "the lease is still out")
}

// What is due first comes first, and what is due at the same time in the order in which it went in.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New()
		enqueue(t, q, "a", "b", "c", "d")
		waits := map[string]time.Duration{"a": 3 * time.Second, "b": 2 * time.Second, "c": 3 * time.Second, "d": time.Second}
		start := time.Now()
		for range waits {
			l := receive(t, q)
			at := start.Add(waits[l.Message().ID])
			require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Deferred, RetryAt: at}))
		}
		var order []string
		for range waits {
			l := receive(t, q)
			assert.Equal(t, waits[l.Message().ID], time.Since(start))
			order = append(order, l.Message().ID)
		}
		assert.Equal(t, []string{"d", "b", "a", "c"}, order)
	})
}

// Each way to end a Receive that waits, in a bubble: synctest.Wait returns, so it blocks durably.
func TestReceiveBlocks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		until func(q *Queue, cancel func())
		want  error
	}{
		{"until a message is enqueued", func(q *Queue, _ func()) { q.Enqueue(context.Background(), &signpost.Message{ID: "new"}) }, nil},
		{"until its context is done", func(_ *Queue, cancel func()) { cancel() }, context.Canceled},
		{"until the queue is closed", func(q *Queue, _ func()) { q.Close() }, ErrClosed},
		{"until the queue is reopened", func(q *Queue, _ func()) { q.Reopen() }, ErrClosed},
	} {
		for _, far := range []bool{false, true} { // while a message waits for a later time
			t.Run(fmt.Sprintf("%s, far=%v", tt.name, far), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := New()
					if far {
						enqueue(t, q, "far")
						require.NoError(t, receive(t, q).Settle(t.Context(), signpost.Outcome{State: signpost.Deferred, RetryAt: time.Now().Add(time.Hour)}))
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					returned := make(chan error, 1)
					go func() {
						_, err := q.Receive(ctx)
						returned <- err
					}()
					synctest.Wait()
					assert.Empty(t, returned)
					start := time.Now()
					tt.until(q, cancel)
					assert.ErrorIs(t, <-returned, tt.want)
					assert.Equal(t, start, time.Now(), "it returns at once")
				})
			})
		}
	}
}

func TestEnqueueKeepsAnIDOnce(t *testing.T) {
	q := New()
	require.NoError(t, q.Enqueue(t.Context(), &signpost.Message{ID: "1", URL: "first"}, &signpost.Message{ID: "1", URL: "second"}))
	enqueue(t, q, "1")
	assert.Equal(t, 1, q.Len())
	l := receive(t, q)
	assert.Equal(t, "first", l.Message().URL)
	enqueue(t, q, "1")
	require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
	enqueue(t, q, "1")
	assert.Zero(t, q.Len(), "an ID stays known when its message has ended")
}

func TestEnqueueRefusesAll(t *testing.T) {
	for _, tt := range []struct {
		name string
		bad  *signpost.Message
	}{
		{"nil", nil},
		{"no ID", &signpost.Message{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := New()
			require.Error(t, q.Enqueue(t.Context(), &signpost.Message{ID: "good"}, tt.bad))
			assert.Zero(t, q.Len())
		})
	}
}

func TestMessagesAreCopied(t *testing.T) {
	fresh := func() *signpost.Message {
		return &signpost.Message{ID: "1", Payload: []byte("{}"), Header: http.Header{"X-A": {"1"}}}
	}
	spoil := func(m *signpost.Message) {
		m.Payload[0] = '!'
		m.Header["X-A"][0] = "changed"
	}
	q := New()
	in := fresh()
	require.NoError(t, q.Enqueue(t.Context(), in))
	spoil(in)
	l := receive(t, q)
	assert.Equal(t, fresh(), l.Message())
	spoil(l.Message())
	require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Deferred}))
	l = receive(t, q)
	assert.Equal(t, fresh(), l.Message())
	require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Dead}))
	spoil(q.Dead()[0].Message)
	assert.Equal(t, fresh(), q.Dead()[0].Message)
}

func TestReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New()
		enqueue(t, q, "dead", "settled", "leased", "waiting", "due")
		require.NoError(t, receive(t, q).Settle(t.Context(), signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrGone}))
		settled := receive(t, q)
		require.NoError(t, settled.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
		leased := receive(t, q)
		at := time.Now().Add(time.Minute)
		require.NoError(t, receive(t, q).Settle(t.Context(), signpost.Outcome{State: signpost.Retrying, RetryAt: at}))

		reopened := q.Reopen()
		assert.True(t, leased.(signpost.RevocableLease).Lost())
		assert.ErrorIs(t, leased.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}), signpost.ErrLeaseLost)
		assert.ErrorIs(t, settled.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}), signpost.ErrSettled)
		assert.ErrorIs(t, q.Enqueue(t.Context(), &signpost.Message{ID: "late"}), ErrClosed)
		_, err := q.Receive(t.Context())
		assert.ErrorIs(t, err, ErrClosed)
		assert.Zero(t, q.Len())
		assert.Empty(t, q.Dead())

		assert.Equal(t, 3, reopened.Len())
		assert.Len(t, reopened.Dead(), 1)
		enqueue(t, reopened, "settled") // known still
		for _, want := range []signpost.Message{{ID: "leased", Attempts: 3}, {ID: "due", Attempts: 3}, {ID: "waiting", Attempts: 4}} {
			assert.Equal(t, want, *receive(t, reopened).Message())
		}
		assert.Equal(t, at, time.Now())
	})
}

func TestClose(t *testing.T) {
	q := New()
	enqueue(t, q, "1", "2")
	l := receive(t, q)
	require.NoError(t, q.Close())
	require.NoError(t, q.Close())
	assert.ErrorIs(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}), ErrClosed)
	_, err := q.Receive(t.Context())
	assert.ErrorIs(t, err, ErrClosed)
	assert.ErrorIs(t, q.Enqueue(t.Context(), &signpost.Message{ID: "3"}), ErrClosed)
	assert.Equal(t, 2, q.Reopen().Len())
}

func TestFail(t *testing.T) {
	errDown := errors.New("down")
	q := New()
	enqueue(t, q, "1")
	l := receive(t, q)
	calls := map[string]func() error{
		"enqueue": func() error { return q.Enqueue(t.Context(), &signpost.Message{ID: "2"}) },
		"receive": func() error {
			_, err := q.Receive(t.Context())
			return err
		},
		"settle": func() error { return l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}) },
	}
	for op, call := range calls {
		q.Fail(func(got string) error {
			if got == op {
				return errDown
			}
			return nil
		})
		assert.ErrorIs(t, call(), errDown, op)
	}
	assert.Equal(t, 1, q.Len(), "a call that fails does nothing")
	q.Fail(nil)
	for _, op := range []string{"enqueue", "receive", "settle"} {
		assert.NoError(t, calls[op](), op)
	}
}

func TestFailIsSafeForConcurrentUse(t *testing.T) {
	q := New()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				q.Fail(func(string) error { return nil })
				assert.NoError(t, q.Enqueue(t.Context(), &signpost.Message{ID: fmt.Sprintf("%d-%d", i, j)}))
				l, err := q.Receive(t.Context())
				if assert.NoError(t, err) {
					assert.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
				}
			}
		})
	}
	wg.Wait()
	assert.Zero(t, q.Len())
}
