package faults

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A process that is suspended finds, when it goes on, that much is overdue at one instant. Here every worker is held
// up for 8 h instead, by a transport that doesn't heed its context.
const (
	suspension = 8 * time.Hour
	asleep     = 5 * time.Minute // when it begins
	overdueOf  = 500             // messages to each of two hosts
	sleepers   = 16              // workers
)

func overdue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, ids := suspend(t, func(int) time.Time { return time.Now() })
		assert.Empty(t, w.sinceAsleep(), "nobody was there to send")

		time.Sleep(time.Minute) // of this, the 500 take 50 s at 10/s
		neighbour := w.send("http://neighbour.example/")
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, delivered, states(w.ledger.Of(neighbour)))
		for _, id := range ids {
			assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(w.ledger.Of(id)))
		}
		require.NoError(t, w.d.Shutdown(ctx))
		for _, host := range []string{"a.example", "b.example"} {
			withinLimit(t, w.toHost(host), 10, 10)
			assert.LessOrEqual(t, w.peak(host), 8)
		}
		assert.LessOrEqual(t, w.peak(""), sleepers)
	})
}

func overdueTooOld(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w, ids := suspend(t, func(i int) time.Time {
			if i%2 == 0 {
				return time.Now().Add(-20 * time.Hour) // it expires in the middle
			}
			return time.Now()
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NoError(t, w.d.Shutdown(ctx))
		for i, id := range ids {
			os := w.ledger.Of(id)
			if i%2 == 1 {
				assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
				continue
			}
			require.Equal(t, []signpost.State{signpost.Retrying, signpost.Dead}, states(os))
			assert.ErrorIs(t, os[1].Reason, signpost.ErrExpired)
			assert.Zero(t, os[1].Attempt)
		}
		assert.Len(t, w.sinceAsleep(), len(ids)/2)
		withinLimit(t, w.toHost("a.example"), 10, 10)
	})
}

// suspend starts a dispatcher whose messages to two hosts have failed once and wait for ten minutes, holds it up
// for 8 h, and returns when it goes on.
func suspend(t *testing.T, createdAt func(i int) time.Time) (w *clockWorld, ids []string) {
	w = newClockWorld(t, signpost.WithWorkers(sleepers), signpost.WithHostConcurrency(8), signpost.WithRateLimit(10, 10),
		signpost.WithRetryPolicy(signpost.RetryPolicy{
			BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(10 * time.Minute) },
		}))
	w.answer = func(v *visit) clockReply {
		switch {
		case strings.HasPrefix(v.host, "sleeper") && v.before == 0:
			return clockReply{takes: suspension, deaf: true}
		case strings.HasSuffix(v.host, "neighbour.example"):
			return clockReply{}
		case v.before == 0:
			return clockReply{status: 500, takes: 100 * time.Millisecond}
		}
		return clockReply{takes: 100 * time.Millisecond}
	}
	for i := range overdueOf {
		for _, host := range []string{"a.example", "b.example"} {
			ids = append(ids, w.enqueue(&signpost.Message{
				URL: fmt.Sprintf("http://%s/%d", host, i), Payload: []byte(`{}`), CreatedAt: createdAt(len(ids)),
			}))
		}
	}
	time.Sleep(asleep)
	synctest.Wait()
	require.Equal(t, len(ids), w.d.Stats().Waiting)
	for i := range sleepers {
		w.send(fmt.Sprintf("http://sleeper%d.example/", i))
	}
	synctest.Wait()
	require.Equal(t, sleepers, w.d.Stats().InFlight)
	time.Sleep(suspension - 1)
	synctest.Wait()
	return w, ids
}

// sinceAsleep returns what came to the two hosts since the suspension began.
func (w *clockWorld) sinceAsleep() []*visit {
	return w.to(func(v *visit) bool {
		return len(v.host) == len("a.example") && v.at.Sub(w.begin) >= asleep
	})
}

func handedOver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newClockWorld(t)
		w.answer = func(*visit) clockReply { return clockReply{takes: 10 * time.Millisecond} }
		var alive, tooOld []string
		for i := range 1000 {
			m := &signpost.Message{URL: fmt.Sprintf("http://a.example/%d", i%7), Payload: []byte(`{}`), Attempts: 1}
			m.CreatedAt = time.Now().Round(0).Add(-suspension)
			alive = append(alive, w.enqueue(m))
			m = &signpost.Message{URL: m.URL, Payload: m.Payload, Attempts: 1}
			m.CreatedAt = time.Now().Round(0).Add(-24 * time.Hour)
			tooOld = append(tooOld, w.enqueue(m))
		}
		synctest.Wait()
		for _, id := range tooOld {
			assert.ErrorIs(t, w.ledger.Last(id).Reason, signpost.ErrExpired)
			assert.Zero(t, w.ledger.Last(id).Attempt)
		}
		require.NoError(t, w.d.Shutdown(ctx))
		for _, id := range alive {
			os := w.ledger.Of(id)
			require.Equal(t, delivered, states(os))
			assert.Equal(t, 2, os[0].Attempt.Number)
		}
		assert.Len(t, w.visits, 1000)
		withinLimit(t, w.visits, 100, 100)
		assert.LessOrEqual(t, w.peak("a.example"), 32)
		assert.Less(t, time.Since(w.begin), 15*time.Second, "what is too old takes nothing from the limit")
	})
}
