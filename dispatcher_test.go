package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func TestPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t)
		body := []byte(` {"a" : "<ä>" } `)
		_, err := d.Send(ctx, "http://bytes.example/", body)
		require.NoError(t, err)
		copy(body, "changed afterwards!!")
		_, err = d.Send(ctx, "http://struct.example/", struct {
			A string `json:"a"`
		}{"x"})
		require.NoError(t, err)
		m := &signpost.Message{URL: "http://message.example/", Payload: []byte(`[1]`), Header: http.Header{"X-A": {"1"}}}
		require.NoError(t, d.Enqueue(ctx, m))
		m.Payload[1] = '2'
		m.Header.Set("X-A", "2")
		m.URL = "http://elsewhere.example/"
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, ` {"a" : "<ä>" } `, string(w.seen("bytes.example")[0].body))
		assert.Equal(t, `{"a":"x"}`, string(w.seen("struct.example")[0].body))
		assert.Equal(t, `[1]`, string(w.seen("message.example")[0].body))
		assert.Equal(t, "1", w.seen("message.example")[0].header.Get("X-A"))
	})
}

// Every attempt is signed anew, with the same ID and its own time.
func TestRetriesAreSignedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithRetryPolicy(every(10*time.Minute)))
		v, err := signpost.NewVerifier(verificationKey(t, whsec))
		require.NoError(t, err)
		w.set(func(r *request) reply {
			assert.NoError(t, v.Verify(r.header, r.body))
			return reply{status: 500}
		})
		id := send(t, d, "http://a.example/")
		require.NoError(t, d.Shutdown(ctx))
		rs := w.seen("")
		require.Len(t, rs, 8)
		for i, r := range rs {
			assert.Equal(t, id, r.header.Get("webhook-id"))
			assert.Equal(t, fmt.Sprint(r.at.Unix()), r.header.Get("webhook-timestamp"), "attempt %d", i+1)
		}
	})
}

func TestSecretOfEachCustomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		secrets := map[string]signpost.Secret{"http://a.example/": signpost.NewSecret(), "http://b.example/": signpost.NewSecret()}
		d, w, l := start(t, signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
			s, err := signpost.NewSigner(secrets[url])
			return signpost.Endpoint{Signer: s}, err
		}))
		w.set(func(r *request) reply {
			v, err := signpost.NewVerifier(secrets["http://"+r.host+"/"])
			require.NoError(t, err)
			assert.NoError(t, v.Verify(r.header, r.body))
			return reply{}
		})
		send(t, d, "http://a.example/")
		send(t, d, "http://b.example/")
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, 2, l.count(signpost.Delivered, nil))
	})
}

// A slow observer slows its own host first, and stops nobody.
func TestSlowObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var others atomic.Int32
		d, _, _ := start(t, signpost.WithRateLimit(rate.Inf, 0), signpost.WithObserver(func(_ context.Context, m *signpost.Message, _ signpost.Outcome) {
			if strings.Contains(m.URL, "watched") {
				time.Sleep(2 * time.Second)
			} else {
				others.Add(1)
			}
		}))
		for range 1000 {
			send(t, d, "http://watched.example/")
		}
		for i := range 1000 {
			send(t, d, fmt.Sprintf("http://h%d.example/", i%50))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		assert.EqualValues(t, 1000, others.Load())
		require.NoError(t, d.Shutdown(ctx))
	})
}

func TestObserverMayKeepItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []*signpost.Message
		d, w, _ := start(t, signpost.WithObserver(func(_ context.Context, m *signpost.Message, _ signpost.Outcome) { kept = append(kept, m) }))
		w.set(always(reply{status: 500}))
		send(t, d, "http://a.example/")
		require.NoError(t, d.Shutdown(ctx))
		for i, m := range kept {
			assert.Equal(t, i+1, m.Attempts)
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithWorkers(3), signpost.WithRateLimit(rate.Inf, 0))
		w.set(func(r *request) reply {
			if r.path == "/500" {
				return reply{status: 500}
			}
			return reply{takes: time.Second}
		})
		send(t, d, "http://a.example/500")
		synctest.Wait()
		for i := range 5 {
			send(t, d, fmt.Sprintf("http://b.example/%d", i))
		}
		synctest.Wait()
		assert.Equal(t, signpost.Stats{
			Queued: 2, Waiting: 1, InFlight: 3, Hosts: 2, Bytes: 6 * 17, Accepted: 6, Attempts: 1,
		}, d.Stats())
		hosts := d.Hosts()
		require.Len(t, hosts, 2)
		assert.Equal(t, "signpost: receiver answered 500 Internal Server Error", hosts[0].LastError.Error())
		hosts[0].LastError = nil
		assert.Equal(t, []signpost.HostStats{
			{Host: "a.example:80", Waiting: 1, Window: 4, Endpoints: 1},
			{Host: "b.example:80", Queued: 2, InFlight: 3, Window: 4, Endpoints: 5},
		}, hosts)
		require.NoError(t, d.Shutdown(ctx))
		s := d.Stats()
		s.Hosts = 0
		assert.Equal(t, signpost.Stats{Accepted: 6, Delivered: 5, Dead: 1, Attempts: 13, Retries: 7}, s)
	})
}

// Whenever Stats are taken, what was accepted is somewhere.
func TestStatsAddUp(t *testing.T) {
	w := &world{}
	var n atomic.Int64
	w.set(func(r *request) reply {
		switch n.Add(1) % 10 {
		case 0, 1:
			return reply{status: 500}
		case 2:
			return reply{status: 429, retryAfter: "1"}
		case 3:
			return reply{status: 410}
		case 4:
			return reply{err: errors.New("connection refused")}
		}
		return reply{takes: time.Duration(n.Load()%3) * time.Millisecond}
	})
	d, err := signpost.New(signpost.WithSecret(whsec), signpost.WithTransport(w.transport), quiet, signpost.WithRateLimit(rate.Inf, 0), signpost.WithQueueSize(500),
		signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) {
			time.Sleep(time.Duration(n.Load()%2) * time.Millisecond)
		}),
		signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 4, MaxAge: 2 * time.Second, MaxRetryAfter: 10 * time.Millisecond,
			BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(5 * time.Millisecond) }}))
	require.NoError(t, err)
	check := func() {
		s := d.Stats()
		require.EqualValues(t, s.Accepted, s.Delivered+s.Dead+uint64(s.Queued+s.Waiting+s.InFlight), "%+v", s)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 500 {
				d.Send(ctx, fmt.Sprintf("http://h%d.example/%d", j%17, i), 1)
			}
		})
	}
	sent := make(chan struct{})
	go func() { wg.Wait(); close(sent) }()
	for range 2000 {
		check()
	}
	<-sent
	require.NoError(t, d.Shutdown(ctx))
	check()
	s := d.Stats()
	assert.Equal(t, s.Accepted, s.Delivered+s.Dead)
	assert.NotZero(t, s.Delivered)
	assert.NotZero(t, s.Dead)
}

// An operator finds in the log what a dead endpoint did, and no secret.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logBuffer{}
		d, w, _ := start(t, signpost.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
		w.set(func(r *request) reply {
			if r.host == "throttled.example" && r.n == 0 {
				return reply{status: 429, retryAfter: "600"}
			}
			return reply{status: 500}
		})
		id := send(t, d, "http://dead.example/hook?token=geheim")
		send(t, d, "http://throttled.example/hook")
		require.NoError(t, d.Shutdown(ctx))
		text := log.String()
		for _, s := range []string{
			`level=DEBUG msg="signpost: attempt" id=` + id + ` url=http://dead.example/hook attempt=1 status=500`,
			`level=INFO msg="signpost: will retry" id=` + id,
			`level=WARN msg="signpost: endpoint is paused" url=http://dead.example/hook failures=5`,
			`level=WARN msg="signpost: endpoint asks for a pause" url=http://throttled.example/hook status=429`,
			`level=ERROR msg="signpost: message is dead" id=` + id,
			`reason="signpost: attempts are used up"`,
		} {
			assert.Contains(t, text, s)
		}
		assert.NotContains(t, text, "geheim")
		assert.NotContains(t, text, "v1,")
		assert.NotContains(t, text, whsec)
	})
}
