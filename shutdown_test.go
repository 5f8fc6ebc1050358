package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestShutdown(t *testing.T) {
	t.Run("nothing pending", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, _, _ := start(t)
			begin := time.Now()
			assert.NoError(t, d.Shutdown(ctx))
			assert.NoError(t, d.Shutdown(ctx))
			assert.NoError(t, d.Close())
			assert.Equal(t, begin, time.Now())
		})
	})
	t.Run("goes on until all is done, retries too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, l := start(t)
			w.set(func(r *request) reply {
				if r.n < 3 {
					return reply{status: 500, takes: time.Second}
				}
				return reply{takes: time.Second}
			})
			var ids []string
			for i := range 50 {
				ids = append(ids, send(t, d, fmt.Sprintf("http://h%d.example/%d", i%5, i)))
			}
			assert.NoError(t, d.Shutdown(ctx))
			assert.Equal(t, 50, l.count(signpost.Delivered, nil))
			l.check(t, ids...)
		})
	})
	t.Run("hands back what its time didn't suffice for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, l := start(t, signpost.WithWorkers(10))
			w.set(func(r *request) reply {
				switch r.host {
				case "hung.example":
					return reply{takes: -1}
				case "failing.example":
					return reply{status: 500}
				}
				return reply{}
			})
			all := map[string]bool{}
			for i := range 20 {
				all[send(t, d, fmt.Sprintf("http://hung.example/%d", i))] = true
				all[send(t, d, fmt.Sprintf("http://failing.example/%d", i))] = true
				all[send(t, d, fmt.Sprintf("http://fine.example/%d", i))] = true
			}
			time.Sleep(time.Second)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			begin := time.Now()
			err := d.Shutdown(short)
			assert.Equal(t, time.Second, time.Since(begin))
			var undelivered *signpost.UndeliveredError
			require.ErrorAs(t, err, &undelivered)
			assert.ErrorContains(t, err, "40 messages")
			back := map[string]*signpost.Message{}
			for _, m := range undelivered.Messages {
				assert.True(t, all[m.ID])
				assert.NotContains(t, back, m.ID, "handed back twice")
				back[m.ID] = m
				if strings.Contains(m.URL, "failing") {
					assert.Equal(t, 1, m.Attempts)
				} else {
					assert.Equal(t, 0, m.Attempts, "an attempt that was cut off counts as not made")
				}
				assert.Equal(t, `{"hello":"world"}`, string(m.Payload))
			}
			for id := range all {
				_, isBack := back[id]
				assert.NotEqual(t, isBack, l.last(id).State == signpost.Delivered, "delivered or handed back, not both and not neither")
			}
			assert.Same(t, err, d.Shutdown(ctx), "the same for everyone")

			next, w2, l2 := start(t)
			_ = w2
			for _, m := range undelivered.Messages {
				require.NoError(t, next.Enqueue(ctx, m))
			}
			require.NoError(t, next.Shutdown(ctx))
			assert.Equal(t, 40, l2.count(signpost.Delivered, nil))
		})
	})
	t.Run("the first context that is done ends it for all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, _ := start(t, signpost.WithTimeout(time.Hour))
			w.set(always(reply{takes: -1}))
			send(t, d, "http://a.example/")
			var wg sync.WaitGroup
			begin := time.Now()
			for i := range 10 {
				wg.Go(func() {
					short, cancel := context.WithTimeout(ctx, time.Duration(10-i)*time.Second)
					defer cancel()
					var undelivered *signpost.UndeliveredError
					assert.ErrorAs(t, d.Shutdown(short), &undelivered)
					assert.Equal(t, time.Second, time.Since(begin))
				})
			}
			wg.Wait()
		})
	})
	t.Run("Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, _ := start(t)
			w.set(always(reply{takes: -1}))
			send(t, d, "http://a.example/")
			synctest.Wait()
			begin := time.Now()
			var undelivered *signpost.UndeliveredError
			require.ErrorAs(t, d.Close(), &undelivered)
			assert.Len(t, undelivered.Messages, 1)
			assert.Equal(t, begin, time.Now())
			_, err := d.Send(ctx, "http://a.example/", 1)
			assert.ErrorIs(t, err, signpost.ErrClosed)
		})
	})
	t.Run("while a message expires", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAge: time.Minute}))
			w.set(always(reply{status: 503, retryAfter: "3600"}))
			a, b := send(t, d, "http://a.example/"), send(t, d, "http://a.example/")
			begin := time.Now()
			require.NoError(t, d.Shutdown(ctx))
			assert.Less(t, time.Since(begin), time.Hour+time.Minute)
			l.check(t, a, b)
		})
	})
}

// A Send that races with Shutdown is accepted or gets ErrClosed: never both, never neither.
func TestSendRacesWithShutdown(t *testing.T) {
	for range 200 {
		l := &ledger{}
		w := &world{}
		d, err := signpost.New(signpost.WithSecret(whsec), signpost.WithTransport(w.transport), signpost.WithObserver(l.observe), quiet)
		require.NoError(t, err)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var accepted []string
		for i := range 4 {
			wg.Go(func() {
				for range 10 {
					id, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/", i), 1)
					if err != nil {
						assert.ErrorIs(t, err, signpost.ErrClosed)
						assert.Empty(t, id)
						return
					}
					mu.Lock()
					accepted = append(accepted, id)
					mu.Unlock()
				}
			})
		}
		errs := make(chan error, 2)
		wg.Go(func() { errs <- d.Shutdown(ctx) })
		wg.Go(func() { errs <- d.Close() })
		wg.Wait()
		back := 0
		var undelivered *signpost.UndeliveredError
		if errors.As(<-errs, &undelivered) {
			back = len(undelivered.Messages)
		}
		assert.Equal(t, len(accepted), back+l.count(signpost.Delivered, nil))
		assert.EqualValues(t, len(accepted), d.Stats().Accepted)
	}
}
