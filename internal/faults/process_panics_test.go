package faults

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A panicker panics for the messages whose URL ends in /bad. It gets a scene that is there once something is sent.
type panicker struct {
	option func(s **scene) signpost.Option
	states []signpost.State // of such a message
}

func isBad(url string) bool { return strings.HasSuffix(url, "/bad") }

var delivered = []signpost.State{signpost.Delivered}

// exhausted are the states of a message whose attempts all fail, under the policy of a scene.
var exhausted = []signpost.State{
	signpost.Retrying, signpost.Retrying, signpost.Retrying, signpost.Retrying, signpost.Retrying, signpost.Retrying, signpost.Retrying,
	signpost.Dead,
}

var observerPanics = panicker{func(**scene) signpost.Option {
	return signpost.WithObserver(func(_ context.Context, m *signpost.Message, _ signpost.Outcome) {
		if isBad(m.URL) {
			panic("oops")
		}
	})
}, delivered}

var endpointPanics = panicker{func(**scene) signpost.Option {
	return signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
		if isBad(url) {
			panic(errors.New("oops"))
		}
		return signpost.Endpoint{}, nil
	})
}, exhausted}

var signerPanics = panicker{func(**scene) signpost.Option {
	return withSignerOfBad(signpost.SignerFunc(func(*http.Request, *signpost.Message, time.Time) error { panic("oops") }))
}, exhausted}

var keyPanics = panicker{func(**scene) signpost.Option {
	signer, err := signpost.NewSigner(signpost.NewSecret(), panickingKey{})
	if err != nil {
		panic(err)
	}
	return withSignerOfBad(signer)
}, exhausted}

type panickingKey struct{}

func (panickingKey) Sign(context.Context, []byte) (string, error) { panic("oops") }

func withSignerOfBad(signer signpost.Signer) signpost.Option {
	return signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
		if isBad(url) {
			return signpost.Endpoint{Signer: signer}, nil
		}
		return signpost.Endpoint{}, nil
	})
}

var transportPanics = panicker{func(s **scene) signpost.Option {
	return signpost.WithTransport(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			if isBad(req.URL.Path) {
				panic("oops")
			}
			return (*s).ledger.Transport(next).RoundTrip(req)
		})
	})
}, exhausted}

var bodyPanics = panicker{func(s **scene) signpost.Option {
	return signpost.WithTransport(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			resp, err := (*s).ledger.Transport(next).RoundTrip(req)
			if err == nil && isBad(req.URL.Path) {
				resp.Body = panickingBody{resp.Body}
			}
			return resp, err
		})
	})
}, exhausted}

type panickingBody struct{ io.ReadCloser }

func (panickingBody) Read([]byte) (int, error) { panic("oops") }

var classifyPanics = panicker{func(**scene) signpost.Option {
	p := policy(8)
	p.Classify = func(a signpost.Attempt) signpost.Verdict {
		if isBad(string(a.Body)) {
			panic("oops")
		}
		return signpost.Classify(a)
	}
	return signpost.WithRetryPolicy(p)
}, delivered}

func panicIn(p panicker) func(t *testing.T) {
	return func(t *testing.T) {
		log := &panicLog{}
		var s *scene
		s = newScene(t, p.option(&s), signpost.WithLogger(slog.New(log)))
		url := newHandler(s, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, r.URL.Path)
		})
		bad := s.send(url + "/bad")
		var good []string
		for range 10 {
			good = append(good, s.send(url+"/good"))
		}
		os := s.ends(bad)
		assert.Equal(t, p.states, states(os))
		if end := os[len(os)-1]; end.State == signpost.Dead {
			assert.ErrorIs(t, end.Reason, signpost.ErrExhausted)
			assert.Zero(t, end.Attempt.StatusCode)
			assert.Error(t, end.Attempt.Err)
		}
		for _, id := range good {
			assert.Equal(t, delivered, states(s.ends(id)))
		}
		assert.Zero(t, s.host(url).Paused)
		assert.Zero(t, s.host(url).PausedUntil, "it says nothing of the receiver")
		require.NoError(t, s.d.Shutdown(ctx)) // after it everything is counted
		assert.EqualValues(t, len(p.states), s.d.Stats().Panics)
		assert.Equal(t, len(p.states), log.count("process_panics_test.go"))
	}
}

// backOffPanics waits as long as the default backoff does, so it runs in a bubble.
func backOffPanics(t *testing.T) {
	for name, broken := range map[string]func() backoff.BackOff{
		"function":    func() backoff.BackOff { panic("oops") },
		"NextBackOff": func() backoff.BackOff { return panickingBackOff{} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &panicLog{}
				checked := false
				w := newClockWorld(t, signpost.WithLogger(slog.New(log)), signpost.WithRetryPolicy(signpost.RetryPolicy{
					BackOff: func() backoff.BackOff {
						if !checked { // New looks at what it returns
							checked = true
							return &backoff.ZeroBackOff{}
						}
						return broken()
					},
				}))
				w.answer = func(v *visit) clockReply {
					if isBad(v.url) && v.before < 2 {
						return clockReply{status: 500}
					}
					return clockReply{}
				}
				bad, good := w.send("http://a.example/bad"), w.send("http://a.example/good")
				require.NoError(t, w.d.Shutdown(ctx))
				assert.Equal(t, delivered, states(w.ledger.Of(good)))
				os := w.ledger.Of(bad)
				require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
				assert.InDelta(t, 5, os[0].RetryAt.Sub(w.begin).Seconds(), 1)
				assert.EqualValues(t, 2, w.d.Stats().Panics)
				assert.Equal(t, 2, log.count("process_panics_test.go"))
			})
		})
	}
}

type panickingBackOff struct{}

func (panickingBackOff) Reset()                     {}
func (panickingBackOff) NextBackOff() time.Duration { panic("oops") }

// A panicLog keeps the stacks of the panics that are logged.
type panicLog struct {
	mu     sync.Mutex
	stacks []string
}

// count returns how many of them name a file.
func (l *panicLog) count(file string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, stack := range l.stacks {
		if strings.Contains(stack, file) {
			n++
		}
	}
	return n
}

func (l *panicLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (l *panicLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "stack" {
			l.mu.Lock()
			l.stacks = append(l.stacks, a.Value.String())
			l.mu.Unlock()
		}
		return true
	})
	return nil
}

func (l *panicLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *panicLog) WithGroup(string) slog.Handler      { return l }
