package main

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// An arrival is a request that verified.
type arrival struct {
	id, host string
	at       time.Time
}

// A receiver has many addresses, each a host of its own, and takes whatever is signed.
type receiver struct {
	hosts []string // addresses

	mu       sync.Mutex // protects the following fields
	arrivals []arrival
	seen     map[string]int // times, by ID
	gate     chan struct{}  // requests wait until it is closed; nil: they don't
}

func newReceiver(t *testing.T, hosts int) *receiver {
	t.Helper()
	r := &receiver{seen: map[string]int{}}
	verifier, err := signpost.NewVerifier(secret)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		at := time.Now()
		verifier.Handler(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { r.take(req, at) })).ServeHTTP(w, req)
	})}
	var serving sync.WaitGroup
	for range hosts {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		r.hosts = append(r.hosts, listener.Addr().String())
		serving.Go(func() { assert.ErrorIs(t, server.Serve(listener), http.ErrServerClosed) })
	}
	t.Cleanup(func() {
		r.open()
		server.Close()
		serving.Wait()
	})
	return r
}

func (r *receiver) take(req *http.Request, at time.Time) {
	r.mu.Lock()
	r.arrivals = append(r.arrivals, arrival{req.Header.Get("Webhook-Id"), req.Host, at})
	r.seen[req.Header.Get("Webhook-Id")]++
	gate := r.gate
	r.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-req.Context().Done():
		}
	}
}

// shut has requests wait until open is called.
func (r *receiver) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = make(chan struct{})
}

func (r *receiver) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gate != nil {
		close(r.gate)
		r.gate = nil
	}
}

func (r *receiver) url(host int) string { return "http://" + r.hosts[host] + "/hook" }

// at returns how many requests the host has got.
func (r *receiver) at(host int) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.arrivals {
		if a.host == r.hosts[host] {
			n++
		}
	}
	return n
}

// times returns how many requests there were in all.
func (r *receiver) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.arrivals)
}

// distinct returns how many messages they were.
func (r *receiver) distinct() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}
