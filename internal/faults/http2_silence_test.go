package faults

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// http2Silence are connections that have worked, and then go silent without a FIN or a RST: a router has forgotten them,
// or the receiver's machine is gone.
var http2Silence = []fault{
	{
		"an HTTP/2 connection that goes silent",
		"Attempts run out of time until pings have found the connection dead, 10 s after the last sign of life; " +
			"the next one goes over a new connection.", silentHTTP2,
	},
	{
		"an HTTP/1.1 connection that goes silent",
		"The attempt runs out of time, which closes the connection; the next one goes over a new connection.", silentHTTP1,
	},
}

func silentHTTP2(t *testing.T) {
	// Six attempts are enough for the time that pings take, and few enough to end if they found nothing.
	w := newWatch(t, trustingTests(), signpost.WithTimeout(4*time.Second), signpost.WithRetryPolicy(policy(6)))
	r := newH2Receiver(w.scene)
	p := newSilencer(w.scene, r.URL)
	for range 3 {
		os := w.ends(w.send("https://" + p.address))
		require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
	}
	require.EqualValues(t, 1, p.accepted.Load())
	_, before := r.counts()
	p.silence()

	os := w.ends(w.send("https://" + p.address))
	h2TimedOut(t, os)
	require.GreaterOrEqual(t, len(os), 3, "no ping is so quick")
	h2TimedOut(t, append(os[1:2:2], os[len(os)-1]))
	for _, o := range os[:len(os)-1] {
		assert.Equal(t, signpost.Retrying, o.State)
		assert.Zero(t, o.Attempt.StatusCode)
	}
	awaitWord(t, p.left, "the client to close the silent connection")
	// One new connection, or more where the machine is so busy that an attempt over a new one takes too long.
	accepted := int(p.accepted.Load())
	assert.GreaterOrEqual(t, accepted, 2)
	assert.LessOrEqual(t, accepted, len(os))
	_, posts := r.counts()
	assert.GreaterOrEqual(t, posts-before, 1)
	assert.LessOrEqual(t, posts-before, len(os)-2, "two attempts at least were lost on the silent one")
	assert.Equal(t, 3+len(os), begun(w.scene))
}

func silentHTTP1(t *testing.T) {
	w := newWatch(t, briefly, patient)
	server := httptest.NewServer(w.ledger.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	p := newSilencer(w.scene, server.URL)
	os := w.ends(w.send("http://" + p.address))
	require.Equal(t, signpost.Delivered, os[len(os)-1].State)
	accepted := p.accepted.Load()
	p.silence()

	os = w.ends(w.send("http://" + p.address))
	h2TimedOut(t, os)
	awaitWord(t, p.left, "the client to close the silent connection")
	assert.Greater(t, p.accepted.Load(), accepted, "a new connection")
	assert.LessOrEqual(t, int(p.accepted.Load()-accepted), len(os)-1, "the first attempt had the silent one")
}

// A silencer forwards connections, until it goes silent on those that there are.
type silencer struct {
	address  string
	accepted atomic.Int64
	left     chan struct{} // a word for each connection that was closed by the client after it had gone silent

	mu    sync.Mutex
	conns map[*forwarded]bool
	wg    sync.WaitGroup
}

// A forwarded connection is one to the client and one to the receiver.
type forwarded struct {
	client, receiver net.Conn
	silent           atomic.Bool
}

func newSilencer(s *scene, url string) *silencer {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	p := &silencer{address: listener.Addr().String(), left: make(chan struct{}, 100), conns: make(map[*forwarded]bool)}
	_, to, _ := strings.Cut(url, "://")
	p.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			p.accepted.Add(1)
			receiver, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			f := &forwarded{client: client, receiver: receiver}
			p.mu.Lock()
			p.conns[f] = true
			p.mu.Unlock()
			p.wg.Go(func() { f.copy(client, receiver, func() { p.left <- struct{}{} }) })
			p.wg.Go(func() { f.copy(receiver, client, func() {}) })
		}
	})
	s.t.Cleanup(func() {
		listener.Close()
		p.mu.Lock()
		for f := range p.conns {
			f.client.Close()
			f.receiver.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// silence lets nothing through any more on the connections that there are, in both directions.
func (p *silencer) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.conns {
		f.silent.Store(true)
	}
}

// copy forwards one direction. What comes once the connection is silent is read and dropped, and an end that comes then is
// told to ended alone.
func (f *forwarded) copy(from, to net.Conn, ended func()) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		silent := f.silent.Load()
		if n > 0 && !silent {
			to.Write(buf[:n])
		}
		switch {
		case err == nil:
		case silent:
			ended()
			return
		default:
			from.Close()
			to.Close()
			return
		}
	}
}
