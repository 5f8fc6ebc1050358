package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func sendsRaceWithShutdown(t *testing.T) {
	s := newScene(t)
	url := newHandler(s, ok)
	s.send(url)
	sockets := append(s.ledger.Options(), signpost.WithAllowedNetworks("127.0.0.0/8", "::1/128"))
	for i := range 50 {
		raceWithShutdown(s, i, url, sockets...)
	}
	memory := append(s.ledger.Options(), inMemory(s.ledger, arriveOK(s.ledger)))
	for i := range 1000 {
		raceWithShutdown(s, i, "http://a.example", memory...)
	}
}

// raceWithShutdown has Sends race with Shutdown, or with Close in every other round. The ledger finds what was accepted
// and lost, and what was refused and yet delivered or handed back.
func raceWithShutdown(s *scene, round int, url string, opts ...signpost.Option) {
	s.t.Helper()
	d, err := signpost.New(append(opts, signpost.WithSecret(s.secret.Reveal()), quiet)...)
	require.NoError(s.t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := uint64(0)
	begin := make(chan struct{})
	for i := range 3 {
		wg.Go(func() {
			<-begin
			for n := range 5 {
				id, err := d.Send(ctx, fmt.Sprintf("%s/%d", url, i), n)
				if err != nil {
					assert.ErrorIs(s.t, err, signpost.ErrClosed)
					assert.Empty(s.t, id)
					return
				}
				s.ledger.Accept(id)
				mu.Lock()
				accepted++
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		<-begin
		if round%2 == 0 {
			s.ledger.HandBack(d.Shutdown(ctx))
		} else {
			s.ledger.HandBack(d.Close())
		}
	})
	close(begin)
	wg.Wait()
	_, err = d.Send(ctx, url, 1)
	assert.ErrorIs(s.t, err, signpost.ErrClosed)
	assert.Equal(s.t, accepted, d.Stats().Accepted)
}

func shutdownFromTen(t *testing.T) {
	t.Run("one loses patience", func(t *testing.T) {
		s := newScene(t)
		h := newHold(t)
		url := newHandler(s, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			h.wait(r.Context())
			panic(http.ErrAbortHandler) // no answer
		})
		id := s.send(url)
		h.has(1)
		results, cancels := shutdownTen(s)
		cancels[6]()
		err := receive(t, "the first to return", results)
		for range 9 {
			assert.Same(t, err, receive(t, "the others", results))
		}
		assert.Same(t, err, s.d.Close())
		var undelivered *signpost.UndeliveredError
		require.ErrorAs(t, err, &undelivered)
		require.Len(t, undelivered.Messages, 1)
		assert.Equal(t, id, undelivered.Messages[0].ID)
		assert.Zero(t, undelivered.Messages[0].Attempts, "an attempt that was cut off counts as not made")
	})
	t.Run("all is delivered", func(t *testing.T) {
		s := newScene(t)
		h := newHold(t)
		url := newHandler(s, func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			h.wait(r.Context())
		})
		id := s.send(url)
		h.has(1)
		results, _ := shutdownTen(s)
		h.letGo()
		for range 10 {
			assert.NoError(t, receive(t, "all to return", results))
		}
		assert.NoError(t, s.d.Close())
		assert.Equal(t, []signpost.State{signpost.Delivered}, states(s.ledger.Of(id)))
	})
}

// shutdownTen calls Shutdown from ten goroutines. It returns once intake has stopped and none of them could return yet.
func shutdownTen(s *scene) (results chan error, cancels []context.CancelFunc) {
	s.t.Helper()
	results = make(chan error, 10)
	for range 10 {
		short, cancel := context.WithCancel(ctx)
		s.t.Cleanup(cancel)
		cancels = append(cancels, cancel)
		go func() { results <- s.d.Shutdown(short) }()
	}
	for late := time.Now().Add(patience); ; {
		require.True(s.t, time.Now().Before(late), "waited in vain for the end of intake")
		id, err := s.d.Send(ctx, s.neighbour.URL, 1)
		if err != nil {
			require.ErrorIs(s.t, err, signpost.ErrClosed)
			break
		}
		s.ledger.Accept(id)
		s.ends(id)
	}
	assert.Empty(s.t, results, "what is in flight holds up all of them")
	return results, cancels
}
