package kafka

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// TestDeadHost has 20,000 messages wait for a host that hangs, beside some for live ones, whose latency must not suffer.
func TestDeadHost(t *testing.T) {
	brokers := sharedBrokers(t)
	n, seconds := 20_000, 6
	if long {
		seconds = 30
	}
	// What else the machine does is chance, and can be much more than what is measured: so it is tried again.
	for try := 1; ; try++ {
		alone := liveLatency(t, brokers, 0, seconds)
		beside := liveLatency(t, brokers, n, seconds)
		t.Logf("p99 of live hosts: %v alone, %v beside %d messages for a dead one", alone, beside, n)
		if limit := 2 * max(alone, busy); beside <= limit || try == 4 {
			assert.LessOrEqual(t, beside, limit)
			return
		}
	}
}

// busy is what a busy machine adds to a latency now and then. When everybody waits for a dead host's messages it is a second and more.
const busy = 75 * time.Millisecond

// liveLatency is the 99th percentile of the time from Send to arrival at live hosts.
func liveLatency(t *testing.T, brokers []string, dead, seconds int) time.Duration {
	sc := newScene(t)
	q := openQueue(t, brokers, newPrefix())
	d := sc.dispatcher(q, signpost.WithTimeout(2*time.Second), signpost.WithWorkers(64))
	defer q.Close()
	defer d.Close()
	var mu sync.Mutex
	sent := map[string]time.Time{}
	var took []time.Duration
	var urls []string
	for range 10 {
		urls = append(urls, sc.receiver(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if at, ok := sent[r.Header.Get("Webhook-Id")]; ok {
				took = append(took, time.Since(at))
			}
		}))
	}
	hung := sc.receiver(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	var filling sync.WaitGroup
	for p := range 16 {
		filling.Go(func() {
			for range dead / 16 {
				if _, err := d.Send(ctx, fmt.Sprintf("%s/%d", hung, p), []byte("{}")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	filling.Wait()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range seconds * 200 {
		<-tick.C
		id := fmt.Sprintf("live-%d", i)
		mu.Lock()
		sent[id] = time.Now()
		mu.Unlock()
		require.NoError(t, d.Enqueue(ctx, messageTo(urls[i%len(urls)], id)))
		sc.accept(id)
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	arrived := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(took)
	}
	for arrived() < seconds*200 {
		require.True(t, sleep(within, 10*time.Millisecond), "every live message arrives: %d did", arrived())
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(took)
	t.Logf("%d live messages beside %d: median %v, p99 %v, longest %v", len(took), dead,
		took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	return took[len(took)*99/100]
}
