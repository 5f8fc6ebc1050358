package signpost_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

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
				assert.Contains(t, log.String(), "panics_test.go", "with the stack")
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
