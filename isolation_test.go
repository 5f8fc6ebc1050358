package signpost_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

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
