package faults

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func isSlow(url string) bool { return strings.Contains(url, "/slow") }

// Three of four workers are held up by as many hosts' outcomes. The fourth delivers for all others.
func slowObserver(t *testing.T) {
	h := newHold(t)
	s := newScene(t, signpost.WithWorkers(4), signpost.WithHostConcurrency(1),
		signpost.WithObserver(func(ctx context.Context, m *signpost.Message, _ signpost.Outcome) {
			if isSlow(m.URL) {
				h.wait(ctx)
			}
		}))
	var slow []string
	var urls []string
	for range 3 {
		url := newHandler(s, ok)
		urls = append(urls, url)
		for range 5 {
			slow = append(slow, s.sendOnly(url+"/slow"))
		}
	}
	other := newHandler(s, ok)
	h.has(3)
	for range 10 {
		assert.Equal(t, delivered, states(s.ends(s.send(other))))
	}
	for _, url := range urls {
		host := s.host(url)
		assert.Equal(t, 1, host.InFlight, "being reported")
		assert.Equal(t, 4, host.Queued, "they wait for their turn")
		assert.Zero(t, host.PausedUntil)
	}
	assert.EqualValues(t, 3+20, s.d.Stats().Delivered, "what the observer is told is counted already")
	h.letGo()
	for _, id := range slow {
		assert.Equal(t, delivered, states(s.ends(id)))
	}
}

// endpointWaits and signerWaits are functions of the user's that call wait for what is slow.
func endpointWaits(_ **scene, wait func(ctx context.Context, url string) error) signpost.Option {
	return signpost.WithEndpoints(func(ctx context.Context, url string) (signpost.Endpoint, error) {
		return signpost.Endpoint{}, wait(ctx, url)
	})
}

func signerWaits(s **scene, wait func(ctx context.Context, url string) error) signpost.Option {
	return signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
		return signpost.Endpoint{Signer: signpost.SignerFunc(func(req *http.Request, m *signpost.Message, at time.Time) error {
			if err := wait(req.Context(), m.URL); err != nil {
				return err
			}
			signer, err := signpost.NewSigner((*s).secret)
			if err != nil {
				return err
			}
			return signer.Sign(req, m, at)
		})}, nil
	})
}

func slowFunction(option func(s **scene, wait func(context.Context, string) error) signpost.Option) func(t *testing.T) {
	return func(t *testing.T) {
		t.Run("for a while", func(t *testing.T) {
			h := newHold(t)
			var s *scene
			var mu sync.Mutex
			var deadlines []time.Time
			const timeout = 2 * patience
			s = newScene(t, signpost.WithWorkers(4), signpost.WithHostConcurrency(1), signpost.WithTimeout(timeout),
				option(&s, func(ctx context.Context, url string) error {
					if !isSlow(url) {
						return nil
					}
					deadline, _ := ctx.Deadline()
					mu.Lock()
					deadlines = append(deadlines, deadline)
					mu.Unlock()
					return h.wait(ctx)
				}))
			url, other := newHandler(s, ok), newHandler(s, ok)
			var slow []string
			for i := range 5 {
				slow = append(slow, s.sendOnly(fmt.Sprintf("%s/slow/%d", url, i)))
			}
			h.has(1)
			for range 10 {
				assert.Equal(t, delivered, states(s.ends(s.send(other))))
			}
			assert.Equal(t, 1, s.host(url).InFlight)
			assert.Equal(t, 4, s.host(url).Queued)
			h.letGo()
			var ends []time.Time
			for _, id := range slow {
				os := s.ends(id)
				require.Equal(t, delivered, states(os))
				ends = append(ends, os[0].Attempt.Start.Add(timeout))
			}
			assert.ElementsMatch(t, ends, deadlines)
		})
		t.Run("for ever", func(t *testing.T) {
			var s *scene
			var mu sync.Mutex
			tries := 0
			s = newScene(t, signpost.WithTimeout(300*time.Millisecond), option(&s, func(ctx context.Context, url string) error {
				mu.Lock()
				defer mu.Unlock()
				if !isSlow(url) || tries == 2 {
					return nil
				}
				tries++
				<-ctx.Done()
				return context.Cause(ctx)
			}))
			url := newHandler(s, ok)
			os := s.tried(s.send(url+"/slow"), 2)
			for _, o := range os[:2] {
				assert.Equal(t, signpost.Retrying, o.State)
				assert.ErrorIs(t, o.Attempt.Err, context.DeadlineExceeded)
				assert.GreaterOrEqual(t, o.Attempt.Duration, 300*time.Millisecond)
			}
			assert.Zero(t, s.host(url).Paused)
			assert.Equal(t, 4, s.host(url).Window, "it says nothing of the receiver")
		})
	}
}
