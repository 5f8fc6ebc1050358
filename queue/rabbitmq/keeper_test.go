package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// impatient has the broker close a channel whose messages aren't acknowledged within the given time: consumer_timeout, which is
// half an hour otherwise. It counts for channels that are opened from then on, until the test ends.
func impatient(t *testing.T, timeout time.Duration) (url string) {
	url = newURL(t)
	if shared.server == nil {
		t.Skip("SIGNPOST_TEST_AMQP_URL names a broker whose settings aren't the test's; leave it out to have one started")
	}
	set := func(timeout, tick int) {
		_, err := shared.server.Ctl("eval", fmt.Sprintf(
			"application:set_env(rabbit, consumer_timeout, %d), application:set_env(rabbit, channel_tick_interval, %d).", timeout, tick))
		require.NoError(t, err)
	}
	set(int(timeout.Milliseconds()), 300)
	t.Cleanup(func() { set(1_800_000, 60_000) })
	return url
}

// nothing checks that nothing comes for a while.
func nothing(t *testing.T, q *Queue, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	l, err := q.Receive(ctx)
	if err == nil {
		assert.Fail(t, "a message came", "%q", l.Message().ID)
	}
}

// The broker closes channels. Their messages come again, are known to be leased, and the leases go on.
func TestLeasesOutliveTheirChannels(t *testing.T) {
	url := impatient(t, time.Second)
	prefix := newPrefix(t, url)
	log, logger := newRecord()
	q := openQueue(t, url, prefix, WithLogger(logger))
	var leases []signpost.Lease
	for i := range 20 {
		enqueue(t, q, messageTo("https://example.com/", fmt.Sprint(i)))
		leases = append(leases, receive(t, q))
	}
	eventually(t, "every channel with a message is closed", func() bool { return log.count("closed a channel") >= 8 })
	for i, l := range leases {
		o := delivered
		if i%2 == 0 {
			o = signpost.Outcome{State: signpost.Deferred}
		}
		settle(t, l, o)
	}
	for range 10 {
		settle(t, receive(t, q), delivered)
	}
	nothing(t, q, time.Second)
	require.NoError(t, q.Close())
	nothing(t, openQueue(t, url, prefix), time.Second)
}

// What is leased for long is moved before the broker loses patience, by each instance into a queue of its own. When one of
// them is gone its leases come to the other one.
func TestOldLeasesAreRenewed(t *testing.T) {
	url := impatient(t, 4*time.Second)
	prefix := newPrefix(t, url)
	log, logger := newRecord()
	soon := internal(func(c *config) { c.renew, c.reserve = 300*time.Millisecond, 500*time.Millisecond })
	a, b := openQueue(t, url, prefix, soon, WithLogger(logger)), openQueue(t, url, prefix, soon, WithLogger(logger))
	type got struct {
		signpost.Lease
		by *Queue
	}
	came := make(chan got)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, q := range []*Queue{a, b} {
		wg.Go(func() {
			for {
				l, err := q.Receive(ctx)
				if err != nil {
					return
				}
				select {
				case came <- got{l, q}:
				case <-ctx.Done():
					return
				}
			}
		})
		eventually(t, "it consumes", func() bool { return q.Healthy(ctx) == nil && !healthyIdle(q) })
	}
	const n = 20
	for i := range n {
		enqueue(t, a, messageTo("https://example.com/", fmt.Sprint(i)))
	}
	leases := map[string]got{}
	for len(leases) < n {
		l := <-came
		leases[l.Message().ID] = l
	}
	begun := time.Now()
	renewed := func() int {
		n := 0
		for _, q := range []*Queue{a, b} {
			q.mu.Lock()
			for e := range q.here {
				// The last delivery is younger by half as much again as the broker allows.
				if e.state == leased && len(e.deliveries) > 0 && e.deliveries[0].at.Sub(begun) > 6*time.Second {
					n++
				}
			}
			q.mu.Unlock()
		}
		return n
	}
	eventually(t, "leases are renewed", func() bool { return renewed() == n })
	assert.Zero(t, log.count("closed a channel"))
	assert.NotEqual(t, a.heldQueue, b.heldQueue)
	open := map[string]bool{}
	for id, l := range leases {
		switch {
		case len(open) < n/2 && l.by == a:
			open[id] = true
		default:
			settle(t, l, delivered)
		}
	}
	require.NotEmpty(t, open)
	require.NoError(t, a.Close())
	for len(open) > 0 {
		select {
		case l := <-came:
			assert.True(t, open[l.Message().ID], "message %s came twice", l.Message().ID)
			delete(open, l.Message().ID)
			settle(t, l, delivered)
		case <-time.After(patience):
			require.Fail(t, "waited in vain", "for %v", open)
		}
	}
	select {
	case l := <-came:
		assert.Fail(t, "a message came twice", l.Message().ID)
	case <-time.After(2 * time.Second):
	}
}

// healthyIdle reports whether q doesn't consume yet.
func healthyIdle(q *Queue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.whole.IsZero()
}

// What waits here for long goes back to the broker, and comes when it is due.
func TestWhatIsHeldForLongGoesBack(t *testing.T) {
	url := impatient(t, 4*time.Second)
	log, logger := newRecord()
	q := openQueue(t, url, newPrefix(t, url), internal(func(c *config) { c.renew = 300 * time.Millisecond }), WithLogger(logger))
	q.Hold("example.com:443", time.Now().Add(time.Hour))
	enqueue(t, q, messageTo("https://example.com/", "held"), messageTo("https://example.org/", "live"))
	assert.Equal(t, "live", receive(t, q).Message().ID)
	admin(t, url, func(ch *amqp.Channel) {
		eventually(t, "it waits at the broker", func() bool {
			for _, d := range q.steps {
				got, err := ch.QueueDeclarePassive(q.delay(d), true, false, false, false, nil)
				require.NoError(t, err)
				if got.Messages == 1 {
					return true
				}
			}
			return false
		})
	})
	assert.Zero(t, log.count("closed a channel"))
}
