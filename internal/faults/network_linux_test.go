package faults

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// oneHangs is a name whose first address takes no connection and refuses none: its listener's queue is full.
func oneHangs(t *testing.T) {
	s := newScene(t, signpost.WithTimeout(3*time.Second))
	r := newRawReceiver(s)
	const full = "127.0.0.72"
	l, err := net.Listen("tcp", net.JoinHostPort(full, portOf(t, r.URL)))
	require.NoError(t, err)
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })) // a queue of one
	require.NoError(t, err)
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()

	os := s.ends(s.send(at(names.add(addresses(full, "127.0.0.1")), r.URL)))
	assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	assert.Greater(t, os[0].Attempt.Duration, time.Second, "the first address was tried")
}

// noRoute are addresses that Linux connects no TCP socket to: it says at once that there is no route.
func noRoute(t *testing.T) {
	s := newScene(t, signpost.WithAllowedNetworks("224.0.0.0/4"), signpost.WithRetryPolicy(policy(12)))
	for _, url := range []string{"http://127.255.255.255:9", "http://224.0.0.1:9"} {
		os := s.ends(s.send(url))
		require.Len(t, os, 12)
		assert.Equal(t, signpost.ErrExhausted, os[11].Reason)
		for _, o := range os {
			assert.ErrorIs(t, o.Attempt.Err, syscall.ENETUNREACH)
			assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt))
		}
	}
	s = newScene(t, signpost.WithAllowedNetworks("224.0.0.0/4"), signpost.WithRetryPolicy(policy(1000)))
	for _, url := range []string{"http://127.255.255.255:9", "http://224.0.0.1:9"} {
		s.tried(s.send(url), 10)
		assertBlameless(t, hostOf(s, url), syscall.ENETUNREACH)
	}
}

// assertBlameless asserts that failed attempts counted neither against a host nor its endpoints.
func assertBlameless(t *testing.T, h signpost.HostStats, why error) {
	t.Helper()
	assert.ErrorIs(t, h.LastError, why)
	assert.Equal(t, 4, h.Window, "as in the beginning")
	assert.Zero(t, h.Paused)
	assert.Zero(t, h.PausedUntil)
}

const descriptorsURL = "SIGNPOST_TEST_DESCRIPTORS_URL"

// outOfDescriptors runs itself in a process of its own, which runs out of file descriptors while the receiver, in this
// process, is well.
func outOfDescriptors(t *testing.T) {
	if url := os.Getenv(descriptorsURL); url != "" {
		exhaustDescriptors(t, url)
		return
	}
	var mu sync.Mutex
	arrived := make(map[string]int)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		arrived[r.Header.Get("Webhook-Id")]++
	}))
	defer receiver.Close()
	out, err := childProcess(t, descriptorsURL, receiver.URL).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: "+t.Name())
	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, arrived, 2*perHost)
	for id, n := range arrived {
		assert.Equal(t, 1, n, id)
	}
}

const perHost = 3 // messages to each host in the process without descriptors

func exhaustDescriptors(t *testing.T, receiver string) {
	short, long := newScene(t), newScene(t, signpost.WithRetryPolicy(policy(1000)))
	named := at(names.add(addresses("127.0.0.1")), receiver)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = min(limit.Cur, 256)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		require.NoError(t, err)
		held = append(held, f)
	}

	outcomes := short.ends(short.sendOnly(receiver)) // attempts are used up like any others
	require.Len(t, outcomes, 8)
	assert.Equal(t, signpost.ErrExhausted, outcomes[7].Reason)
	for _, o := range outcomes {
		assert.ErrorIs(t, o.Attempt.Err, syscall.EMFILE)
	}

	var ids []string
	for _, url := range []string{receiver, named} {
		for range perHost {
			ids = append(ids, long.sendOnly(url))
		}
	}
	for _, id := range ids {
		for _, o := range long.tried(id, 10) {
			assert.Equal(t, signpost.Retrying, o.State)
			assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt))
		}
	}
	for _, url := range []string{receiver, named} {
		assertBlameless(t, hostOf(long, url), syscall.EMFILE)
	}

	for _, f := range held {
		f.Close()
	}
	for _, id := range ids {
		outcomes := long.ends(id)
		assert.Equal(t, signpost.Delivered, outcomes[len(outcomes)-1].State)
		assert.Greater(t, len(outcomes), 10)
	}
}
