package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/signpost-go/signpost"
)

func withWindow(n int64) Option { return func(c *config) { c.window = n } }

func withSteps(steps ...time.Duration) Option { return func(c *config) { c.steps = steps } }

// flow sends n messages for another host, which are delivered at once.
func flow(t *testing.T, q *Queue, prefix string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < n; i += 100 {
			enqueue(t, q, messages("https://fast.example/", fmt.Sprintf("%s-%d", prefix, i), 100)...)
		}
	})
	leases := make(chan signpost.Lease, 100)
	for range 8 {
		wg.Go(func() {
			for l := range leases {
				settle(t, l, delivered)
			}
		})
	}
	for range n {
		l := receive(t, q)
		require.Equal(t, "fast.example:443", l.Message().Host(), "what is leased doesn't come")
		leases <- l
	}
	close(leases)
	wg.Wait()
}

// Messages that are out for long are carried forward, so that others of their partition flow, and their leases stand.
func TestLongLeasesAreCarriedForward(t *testing.T) {
	const n, slow = 6000, 20
	opts := []Option{WithPartitions(1), withWindow(1000)}
	q := openQueue(t, sharedBrokers(t), newPrefix(), opts...)
	enqueue(t, q, messages("https://slow.example/", "slow", slow)...)
	out := take(t, q, slow)
	flow(t, q, "fast", n)
	for id, l := range out {
		require.Greater(t, l.(*lease).entry.offset, int64(slow), "%s was carried forward", id)
	}
	q.mu.Lock()
	for _, p := range q.parts {
		assert.Less(t, p.water.size(), int64(1500), "the window stays small")
	}
	q.mu.Unlock()
	i := 0
	for id, l := range out {
		switch i++; i % 4 {
		case 0:
			settle(t, l, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrGone})
		case 1:
			settle(t, l, retrying(time.Now().Add(100*time.Millisecond)))
		case 2:
			settle(t, l, delivered)
		default:
			continue // it stays out
		}
		require.ErrorIs(t, l.Settle(ctx, delivered), signpost.ErrSettled)
		if i%4 != 1 {
			delete(out, id)
		}
	}
	require.NoError(t, q.Close())
	for _, l := range out {
		err := l.Settle(ctx, delivered)
		require.True(t, err != nil, "the queue is closed")
	}
	q = openQueue(t, q.brokers, q.config.prefix, opts...)
	for id, l := range take(t, q, len(out)) {
		require.Contains(t, out, id, "what was settled doesn't come back")
		settle(t, l, delivered)
	}
	nothing(t, q)
	drained(t, q)
}

// What is settled while its copy is being written waits for that, and ends once.
func TestSettleWhileCarriedForward(t *testing.T) {
	const slow = 100
	q := openQueue(t, sharedBrokers(t), newPrefix(), WithPartitions(1), withWindow(400))
	enqueue(t, q, messages("https://slow.example/", "slow", slow)...)
	out := take(t, q, slow)
	var settlers sync.WaitGroup
	settlers.Go(func() {
		for _, l := range out {
			settle(t, l, delivered)
			sleep(ctx, 5*time.Millisecond)
		}
	})
	flow(t, q, "fast", 3000)
	settlers.Wait()
	nothing(t, q)
	drained(t, q)
}

// Brokers may take less metadata than usual.
func TestMetadataThatTheBrokersRefuse(t *testing.T) {
	s := ownBroker(t, map[string]string{"offset.metadata.max.bytes": "300"})
	opts := []Option{WithPartitions(1)}
	q := openQueue(t, []string{s.Address()}, newPrefix(), opts...)
	const n = 4000
	for i := range n / 100 {
		enqueue(t, q, messages("https://example.com/", fmt.Sprintf("msg-%d", i), 100)...)
	}
	var settlers sync.WaitGroup
	kept := map[string]bool{}
	busy := make(chan struct{}, 64)
	for i := range n {
		l := receive(t, q)
		if i%3 == 0 && i < n/2 {
			kept[l.Message().ID] = true
			continue
		}
		busy <- struct{}{}
		settlers.Go(func() {
			settle(t, l, delivered)
			<-busy
		})
	}
	settlers.Wait()
	require.NoError(t, q.Close())
	q = openQueue(t, q.brokers, q.config.prefix, opts...)
	for id, l := range take(t, q, len(kept)) {
		require.Contains(t, kept, id)
		settle(t, l, delivered)
	}
	nothing(t, q)
	drained(t, q)
}

// A delay of 90 minutes hops down the ladder, and isn't early. An hour is a second here.
func TestLongDelayHops(t *testing.T) {
	minute := time.Second / 60
	q := openQueue(t, sharedBrokers(t), newPrefix(), withSteps(minute/60*10, minute, 10*minute, 60*minute, 360*minute))
	enqueue(t, q, messageTo("https://example.com/", "msg_1"))
	at := time.Now().Add(90*minute + 5*time.Millisecond)
	settle(t, receive(t, q), retrying(at))
	l := receive(t, q)
	require.False(t, time.Now().Before(at), "it came %v too early", time.Until(at))
	assert.Less(t, time.Since(at), patience/10, "nor late")
	assert.Equal(t, 1, l.Message().Attempts)
	settle(t, l, delivered)
	ends, err := q.admin.ListEndOffsets(ctx, q.config.consumed()...)
	require.NoError(t, err)
	hops := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) { hops[o.Topic] += o.Offset })
	assert.Equal(t, int64(1), hops[q.config.delay(3)], "once for an hour: %v", hops)
	assert.GreaterOrEqual(t, hops[q.config.delay(2)], int64(1), "then for ten minutes: %v", hops)
	assert.Zero(t, hops[q.config.delay(4)], "it doesn't fit: %v", hops)
	assert.Equal(t, int64(2), hops[q.config.ready()], "it came and came back: %v", hops)
}

// Thousands that wait for many different times come when they are due.
func TestManyDelays(t *testing.T) {
	const n = 1000
	steps := withSteps(20*time.Millisecond, 100*time.Millisecond, 500*time.Millisecond, 2*time.Second)
	brokers, prefix := sharedBrokers(t), newPrefix()
	q := openQueue(t, brokers, prefix, steps)
	enqueue(t, q, messages("https://example.com/", "msg", n)...)
	due := map[string]time.Time{}
	i := 0
	var settlers sync.WaitGroup
	for id, l := range take(t, q, n) {
		i++
		at := time.Now().Add(time.Duration(i) * 4 * time.Millisecond)
		due[id] = at
		settlers.Go(func() { settle(t, l, deferred(at)) })
		if i%50 == 0 {
			settlers.Wait()
		}
	}
	settlers.Wait()
	var late time.Duration
	for range n {
		l := receive(t, q)
		at := due[l.Message().ID]
		require.False(t, time.Now().Before(at))
		late = max(late, time.Since(at))
		delete(due, l.Message().ID)
		settlers.Go(func() { settle(t, l, delivered) })
	}
	settlers.Wait()
	require.Empty(t, due)
	t.Logf("the latest was %v late", late)
	drained(t, q)
}

// A hold sends away what is more than the shelf should keep, and what others send flows past it.
func TestHeldMessagesGoAway(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix(), WithPartitions(1), WithPrefetch(50))
	dead := messageTo("https://dead.example/", "dead")
	until := time.Now().Add(3 * time.Second)
	q.Hold(dead.Host(), until)
	for i := range 10 {
		enqueue(t, q, messages("https://dead.example/", fmt.Sprintf("dead-%d", i), 100)...)
	}
	flow(t, q, "fast", 200)
	for range 1000 {
		l := receive(t, q)
		require.False(t, time.Now().Before(until), "%s is held", l.Message().ID)
		settle(t, l, delivered)
	}
	drained(t, q)
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err := q.Receive(over)
	require.ErrorIs(t, err, context.Canceled)
}
