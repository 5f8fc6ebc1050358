package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// Everything goes through the proxy, so there is no neighbour that its faults wouldn't concern: these tests send to the
// receiver alone.

const proxyUser, proxyPassword = "egress", "geheim"

// proxyDown is a proxy that starts after two attempts.
func proxyDown(t *testing.T) {
	addr := closedPort(t)
	s, receiver, logged := newProxiedScene(t, "http", addr, false, signpost.WithRetryPolicy(policy(1000)))
	id := s.sendOnly(receiver)
	for _, o := range s.tried(id, 2)[:2] {
		assert.Equal(t, signpost.Retrying, o.State)
		assert.ErrorIs(t, o.Attempt.Err, syscall.ECONNREFUSED)
	}
	newProxy(t, addr)
	assertNoCredentials(t, s.ends(id), logged)
}

// proxyAnswers is a proxy that answers twice with a text before it connects.
func proxyAnswers(text string) func(t *testing.T) {
	return func(t *testing.T) {
		bad := func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, text)
			}
		}
		p := newProxy(t, "127.0.0.1:0", bad, bad)
		s, receiver, logged := newProxiedScene(t, "http", p.addr, false)
		os := s.ends(s.sendOnly(receiver))
		require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
		for _, o := range os[:2] {
			assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt))
			assert.Zero(t, o.Attempt.StatusCode, "it is no answer of the receiver's")
		}
		assertNoCredentials(t, os, logged)
	}
}

const proxyTimeout = 300 * time.Millisecond

// proxyHangs is a proxy that doesn't answer CONNECT twice. What it connects afterwards stays connected.
func proxyHangs(t *testing.T) {
	var s *scene
	var proxies []*proxy
	for _, http2 := range []bool{false, true} {
		p := newProxy(t, "127.0.0.1:0", hangUp, hangUp)
		var receiver string
		var logged *lockedBuffer
		s, receiver, logged = newProxiedScene(t, "http", p.addr, http2,
			signpost.WithTimeout(proxyTimeout), signpost.WithRetryPolicy(policy(1000)))
		os := s.ends(s.sendOnly(receiver))
		require.Greater(t, len(os), 1)
		assertTimedOut(t, os[0])
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
		assertNoCredentials(t, os, logged)
		proxies = append(proxies, p)
	}
	delivered := time.Now() // a dial may take a second longer than an attempt, but no more
	s.wait("the end of all dials", func() bool { return time.Since(delivered) > proxyTimeout+1500*time.Millisecond })
	for _, p := range proxies {
		s.wait("the end of connections that hang", func() bool { return p.hanging() == 0 })
		assert.Positive(t, p.connected(), "the connection that was used is still open")
	}
}

// socksHangs is a SOCKS proxy that never answers.
func socksHangs(t *testing.T) {
	p := newProxy(t, "127.0.0.1:0", hangUp, hangUp)
	s, receiver, logged := newProxiedScene(t, "socks5", p.addr, false, signpost.WithTimeout(proxyTimeout), signpost.WithRetryPolicy(policy(2)))
	os := s.ends(s.sendOnly(receiver))
	require.Len(t, os, 2)
	assertTimedOut(t, os[0])
	assertTimedOut(t, os[1])
	assertNoCredentials(t, os, logged)
	s.wait("the end of connections that hang", func() bool { return p.hanging() == 0 })
}

func hangUp(c net.Conn) { io.Copy(io.Discard, c) }

func assertTimedOut(t *testing.T, o signpost.Outcome) {
	t.Helper()
	assert.ErrorIs(t, o.Attempt.Err, context.DeadlineExceeded)
	assert.Equal(t, signpost.Throttle, signpost.Classify(o.Attempt))
}

// assertNoCredentials asserts that neither outcomes nor what was logged shows the proxy's.
func assertNoCredentials(t *testing.T, os []signpost.Outcome, logged *lockedBuffer) {
	t.Helper()
	texts := []string{logged.String()}
	assert.NotEmpty(t, texts[0])
	for _, o := range os {
		if o.Attempt.Err != nil {
			texts = append(texts, o.Attempt.Err.Error())
		}
	}
	for _, text := range texts {
		assert.NotContains(t, text, proxyPassword)
		assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte(proxyUser+":"+proxyPassword)))
	}
}

// newProxiedScene is a scene whose dispatcher sends through a proxy, the URL of a receiver that speaks TLS, so that the
// proxy is asked to CONNECT, and what is logged.
func newProxiedScene(t *testing.T, scheme, addr string, http2 bool, opts ...signpost.Option) (
	s *scene, receiver string, logged *lockedBuffer,
) {
	t.Helper()
	healthy := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ledger.Handler(healthy).ServeHTTP(w, r)
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	logged = new(lockedBuffer)
	s = newScene(t, append([]signpost.Option{
		signpost.WithProxy(&url.URL{Scheme: scheme, User: url.UserPassword(proxyUser, proxyPassword), Host: addr}),
		signpost.WithTLSConfig(&tls.Config{RootCAs: roots}),
		signpost.WithLogger(slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}, opts...)...)
	return s, server.URL, logged
}

// A proxy has a script for each of its first connections. With all others it does what CONNECT asks for.
type proxy struct {
	addr string

	mu                   sync.Mutex
	scripts              []func(c net.Conn)
	scripted, tunnelling int // connections
}

func newProxy(t *testing.T, addr string, scripts ...func(c net.Conn)) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	p := &proxy{addr: l.Addr().String(), scripts: scripts}
	var wg sync.WaitGroup
	closing := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				served := make(chan struct{})
				defer close(served)
				go func() {
					select {
					case <-closing:
						c.Close()
					case <-served:
					}
				}()
				p.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(closing)
		wg.Wait()
	})
	return p
}

func (p *proxy) serve(c net.Conn) {
	p.mu.Lock()
	script, count := p.tunnel, &p.tunnelling
	if len(p.scripts) > 0 {
		script, count = p.scripts[0], &p.scripted
		p.scripts = p.scripts[1:]
	}
	*count++
	p.mu.Unlock()
	script(c)
	p.mu.Lock()
	*count--
	p.mu.Unlock()
}

func (p *proxy) tunnel(c net.Conn) {
	in := bufio.NewReader(c)
	req, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	user, password, _ := (&http.Request{Header: http.Header{"Authorization": req.Header["Proxy-Authorization"]}}).BasicAuth()
	if req.Method != http.MethodConnect || user != proxyUser || password != proxyPassword {
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	to, err := net.Dial("tcp", req.Host)
	if err != nil {
		return
	}
	defer to.Close()
	io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		io.Copy(to, in)
		to.Close()
	}()
	io.Copy(c, to)
}

// hanging is how many connections scripts have.
func (p *proxy) hanging() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scripted
}

// connected is how many connections are connected to a receiver.
func (p *proxy) connected() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tunnelling
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
