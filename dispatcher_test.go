package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
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

func TestPanics(t *testing.T) {
	for _, c := range []struct {
		name  string
		opt   func(boom func(url string)) signpost.Option
		ends  signpost.State
		tries int
	}{
		{"observer", func(boom func(string)) signpost.Option {
			return signpost.WithObserver(func(_ context.Context, m *signpost.Message, _ signpost.Outcome) { boom(m.URL) })
		}, signpost.Delivered, 1},
		{"endpoint function", func(boom func(string)) signpost.Option {
			return signpost.WithEndpoints(func(_ context.Context, u string) (signpost.Endpoint, error) { boom(u); return signpost.Endpoint{}, nil })
		}, signpost.Dead, 8},
		{"signer", func(boom func(string)) signpost.Option {
			return signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
				return signpost.Endpoint{Signer: signpost.SignerFunc(func(req *http.Request, _ *signpost.Message, _ time.Time) error {
					boom(req.URL.String())
					return nil
				})}, nil
			})
		}, signpost.Dead, 8},
		{"retry policy", func(boom func(string)) signpost.Option {
			return signpost.WithRetryPolicy(signpost.RetryPolicy{Classify: func(a signpost.Attempt) signpost.Verdict {
				boom(string(a.Body))
				return signpost.Classify(a)
			}})
		}, signpost.Delivered, 1},
		{"backoff", func(boom func(string)) signpost.Option {
			return signpost.WithRetryPolicy(signpost.RetryPolicy{BackOff: func() backoff.BackOff { return &badBackOff{} }})
		}, signpost.Delivered, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &logBuffer{}
				boom := func(url string) {
					if strings.Contains(url, "bad") {
						panic("oops")
					}
				}
				d, w, l := start(t, c.opt(boom), signpost.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
				w.set(func(r *request) reply { return reply{body: "http://" + r.host + r.path} })
				bad := send(t, d, "http://a.example/bad")
				var good []string
				for i := range 20 {
					good = append(good, send(t, d, fmt.Sprintf("http://a.example/%d", i)))
				}
				require.NoError(t, d.Shutdown(ctx))
				for _, id := range good {
					assert.Equal(t, signpost.Delivered, l.last(id).State)
				}
				if c.name == "backoff" {
					return
				}
				assert.Equal(t, c.ends, l.last(bad).State)
				assert.EqualValues(t, c.tries, d.Stats().Panics)
				assert.Contains(t, log.String(), "oops")
				assert.Contains(t, log.String(), "dispatcher_test.go", "with the stack")
			})
		})
	}
	t.Run("transport", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := &ledger{}
			d, err := signpost.New(signpost.WithSecret(whsec), quiet, signpost.WithObserver(l.observe), signpost.WithTransport(func(http.RoundTripper) http.RoundTripper {
				return roundTripper(func(*http.Request) (*http.Response, error) { panic("oops") })
			}))
			require.NoError(t, err)
			id := send(t, d, "http://a.example/")
			require.NoError(t, d.Shutdown(ctx))
			assert.Equal(t, signpost.ErrExhausted, l.last(id).Reason)
			assert.EqualValues(t, 8, d.Stats().Panics)
		})
	})
}

// A function that ends its goroutine, as t.FailNow does, costs no other message either.
func TestGoexit(t *testing.T) {
	exit := func(url string) {
		if strings.Contains(url, "bad") {
			runtime.Goexit()
		}
	}
	for name, opt := range map[string]signpost.Option{
		"observer": signpost.WithObserver(func(_ context.Context, m *signpost.Message, _ signpost.Outcome) { exit(m.URL) }),
		"endpoint function": signpost.WithEndpoints(func(_ context.Context, u string) (signpost.Endpoint, error) {
			exit(u)
			return signpost.Endpoint{}, nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, w, l := start(t, opt, signpost.WithWorkers(1))
				w.set(func(r *request) reply {
					if strings.HasPrefix(r.host, "gone") {
						return reply{status: 410}
					}
					return reply{}
				})
				send(t, d, "http://a.example/bad")
				for i := range 20 {
					send(t, d, fmt.Sprintf("http://gone.example/bad?%d", i))
				}
				var good []string
				for i := range 5 {
					good = append(good, send(t, d, fmt.Sprintf("http://b.example/%d", i)))
				}
				require.NoError(t, d.Shutdown(ctx))
				for _, id := range good {
					assert.Equal(t, signpost.Delivered, l.last(id).State)
				}
				s := d.Stats()
				assert.EqualValues(t, 26, s.Delivered+s.Dead)
				assert.NotZero(t, s.Panics)
			})
		})
	}
}

type badBackOff struct{}

func (*badBackOff) Reset()                     {}
func (*badBackOff) NextBackOff() time.Duration { panic("oops") }

func TestPanickingBackOffIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithRetryPolicy(signpost.RetryPolicy{BackOff: func() backoff.BackOff { return &badBackOff{} }, MaxAttempts: 3}))
		w.set(always(reply{status: 500}))
		id := send(t, d, "http://a.example/")
		require.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, signpost.ErrExhausted, l.last(id).Reason)
		require.Len(t, w.seen(""), 3)
		assert.InDelta(t, 5, waits(w.seen(""))[0].Seconds(), 1)
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

// 20 hosts, 5 of them hang, 8 workers, 2,000 messages: the healthy ones get all theirs while the others still hang.
func TestIsolation(t *testing.T) {
	release := make(chan struct{})
	var arrived, open, most atomic.Int32
	hung := func(_ http.ResponseWriter, r *http.Request) { <-release }
	count := func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			n := open.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		case http.StateClosed:
			open.Add(-1)
		}
	}
	done := make(chan struct{})
	var urls []string
	for i := range 20 {
		srv := httptest.NewUnstartedServer(nil)
		if i%4 == 0 {
			srv.Config.Handler = http.HandlerFunc(hung)
			srv.Config.ConnState = count
		} else {
			srv.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				if arrived.Add(1) == 1500 {
					close(done)
				}
			})
		}
		srv.Start()
		defer srv.Close()
		urls = append(urls, srv.URL)
	}
	defer close(release)
	d, err := signpost.New(signpost.WithSecret(whsec), loopback, quiet, signpost.WithWorkers(8))
	require.NoError(t, err)
	defer d.Close()
	for i := range 2000 {
		send(t, d, urls[i%20])
	}
	<-done // or the test's own deadline
	assert.LessOrEqual(t, most.Load(), int32(5), "connections open at hung hosts")
	assert.EqualValues(t, 0, d.Stats().Dead)
}

// The same on one host with 20 endpoints, of which 5 hang or answer 500.
func TestIsolationOnOneHost(t *testing.T) {
	var arrived atomic.Int32
	done := make(chan struct{})
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/0", "/4", "/8":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/12", "/16":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			if arrived.Add(1) == 1500 {
				close(done)
			}
		}
	}))
	defer srv.Close()
	defer close(release)
	d, err := signpost.New(signpost.WithSecret(whsec), loopback, quiet, signpost.WithHostConcurrency(8),
		signpost.WithTimeout(500*time.Millisecond), signpost.WithRateLimit(rate.Inf, 0))
	require.NoError(t, err)
	defer d.Close()
	for i := range 2000 {
		send(t, d, fmt.Sprintf("%s/%d", srv.URL, i%20))
	}
	<-done
	s := d.Stats()
	assert.EqualValues(t, 1500, arrived.Load())
	assert.Positive(t, s.Queued+s.Waiting, "while the bad ones are still pending")
}
