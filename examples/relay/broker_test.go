package main

import (
	"errors"
	"net/http"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/internal/broker"
)

// startBroker starts a broker that ends with the test.
func startBroker(t *testing.T, start func(dir string, settings map[string]string) (*broker.Server, error)) *broker.Server {
	t.Helper()
	b, err := start(t.TempDir(), nil)
	if errors.Is(err, broker.ErrMissing) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, b.Stop())
		if t.Failed() {
			t.Logf("the broker said:\n%s", b.Log())
		}
	})
	return b
}

// absentBroker has a relay start before its broker, lose it, and end without it. send puts a message into the relay's queue, always
// under the same ID.
func absentBroker(t *testing.T, b *broker.Server, url string, send func(to string)) {
	require.NoError(t, b.Kill())
	r := newReceiver(t, 1)
	p := relay(t, "SIGNPOST_QUEUE="+url, "SIGNPOST_PREFIX=absent", "SIGNPOST_DRAIN=100ms")
	eventually(t, func() bool { return len(p.records("relay: waiting for the queue")) == 1 }, "it looks for its broker")
	status, _ := p.get("/healthz")
	assert.Equal(t, http.StatusOK, status, "a relay that waits isn't killed for it")
	status, body := p.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "starting\n", body)

	require.NoError(t, b.Start())
	p.awaitReady()
	send(r.url(0))
	eventually(t, func() bool { return r.times() == 1 }, "it delivers")

	require.NoError(t, b.Kill())
	p.await("/readyz", http.StatusServiceUnavailable)
	status, _ = p.get("/healthz")
	assert.Equal(t, http.StatusOK, status, "nor is one that has lost its broker")
	if long() {
		require.NoError(t, b.Start())
		p.awaitReady()
		had := r.times()
		send(r.url(0))
		eventually(t, func() bool { return r.times() > had }, "it delivers again")
		require.NoError(t, b.Kill())
	}
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.wait().ExitCode(), "it ends while the broker is away")
	assert.NotContains(t, p.text(), "guest:guest", "no password is shown")
}
