package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/rabbitmq"
)

// 20,000 messages for a host that refuses connections wait beside live ones, and don't keep those up once they are out of
// ready.
func TestDeadHostBesideLiveOnes(t *testing.T) {
	s := newScene(t)
	alone := liveLatency(t, s, 0)
	for try := 1; ; try++ { // what else the machine does is part of what is measured
		beside := liveLatency(t, s, 20_000)
		t.Logf("live hosts' p99: %v alone, %v beside a dead host", alone, beside)
		if beside <= 2*max(alone, noise) {
			return
		}
		require.Less(t, try, 4, "live messages are kept up")
		alone = max(alone, liveLatency(t, s, 0))
	}
}

// noise is what a busy machine adds to a latency now and then.
const noise = 75 * time.Millisecond

// liveLatency returns the 99th percentile of the time from Send to arrival of messages for ten live hosts, which are sent after
// dead messages for a host that isn't there.
func liveLatency(t *testing.T, s *scene, dead int) time.Duration {
	t.Helper()
	const hosts, each, prefetch = 10, 100, 12_000
	var (
		mu        sync.Mutex
		sent      = map[string]time.Time{}
		latencies []time.Duration
	)
	receive := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		now := time.Now()
		io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, now.Sub(sent[req.Header.Get("Webhook-Id")]))
	})
	var urls []string
	for range hosts {
		srv := httptest.NewServer(receive)
		defer srv.Close()
		urls = append(urls, srv.URL)
	}
	s.prefix = newPrefix()
	q := s.open(rabbitmq.WithPrefetch(prefetch))
	defer q.Close()
	d, err := signpost.New(signpost.WithQueue(q), signpost.WithSecret(s.secret.Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8"), signpost.WithLogger(quiet))
	require.NoError(t, err)
	defer d.Close()
	var batch []*signpost.Message
	for i := range dead {
		m := s.message(fmt.Sprintf("dead-%d", i))
		m.URL = "http://127.0.0.1:1/"
		batch = append(batch, m)
		if len(batch) == 1000 {
			require.NoError(t, q.Enqueue(ctx, batch...))
			batch = nil
		}
	}
	s.until("the dead host's messages are out of the way", func() bool {
		out, err := s.server.Ctl("list_queues", "name", "messages")
		_, count, _ := strings.Cut(out, s.prefix+".ready\t")
		count, _, _ = strings.Cut(count, "\n")
		n, parsed := strconv.Atoi(strings.TrimSpace(count))
		return err == nil && parsed == nil && n <= prefetch*6/10 // half of what the instance takes may stay with it
	})
	tick := time.NewTicker(30 * time.Millisecond) // the load that is measured: a third of a thousand messages/s
	defer tick.Stop()
	var sending sync.WaitGroup
	defer sending.Wait()
	for i := range each {
		<-tick.C
		for h, url := range urls {
			sending.Go(func() {
				id := fmt.Sprintf("live-%d-%d", h, i)
				mu.Lock()
				sent[id] = time.Now()
				mu.Unlock()
				bounded, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				assert.NoError(t, d.Enqueue(bounded, &signpost.Message{ID: id, URL: url, Payload: []byte(`{"a":1}`)}))
			})
		}
	}
	s.until("all have arrived", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(latencies) >= hosts*each
	})
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100]
}
