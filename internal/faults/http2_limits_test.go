package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// http2Limits are limits that a receiver may set, and that leave little or nothing to send by.
var http2Limits = []fault{
	{
		"a limit of no stream at all",
		"Attempts run out of time, and are retried with backoff. Nothing piles up.", noStreams,
	},
	{
		"a limit of one stream",
		"Opens more connections as attempts need them. What is refused before the limit is known is retried with backoff.", oneStream,
	},
	{"a flow-control window that stays shut", "The attempt ends in time, sends less to that host, and retries with backoff.", shutWindow},
	{
		"a connection that is good for one request and stays open",
		"Has at most four times as many connections to a host open as attempts may be in flight; beyond that, attempts fail and " +
			"are retried. It counts against the host.",
		usedUpConnections,
	},
}

// noStreams is a receiver that allows no stream. The first request on a connection may be on its way before the client
// knows.
func noStreams(t *testing.T) {
	defer pprof.SetGoroutineLabels(context.Background())
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("test", t.Name())))
	w := newWatch(t, trustingTests(), briefly, patient)
	deaf := func(c *h2Conn) {
		c.settings(maxConcurrentStreams, 0)
		c.hang()
	}
	r := newH2Receiver(w.scene, deaf, deaf, deaf, deaf)
	var ids []string
	for i := range 5 {
		ids = append(ids, w.sendOnly(fmt.Sprintf("%s/%d", r.URL, i)))
	}
	ids = append(ids, w.send(r.URL))
	attempts := 0
	for _, id := range ids {
		os := w.ends(id)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
		attempts += len(os)
	}
	assert.Greater(t, attempts, len(ids))
	_, posts := r.counts()
	assert.LessOrEqual(t, posts, attempts)
	assert.Equal(t, attempts, begun(w.scene))
	w.wait("requests that nobody waits for to end", func() bool { return goroutinesIn(t.Name(), "http2clientStream") == 0 })
}

// goroutinesIn is how many goroutines of a test are in a function whose name has a part.
func goroutinesIn(test, part string) (n int) {
	var profile strings.Builder
	pprof.Lookup("goroutine").WriteTo(&profile, 1)
	for record := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(record, strconv.Quote(test)) && strings.Contains(record, part) {
			count, _, _ := strings.Cut(record[strings.LastIndex(record[:strings.Index(record, " @ ")], "\n")+1:], " ")
			i, err := strconv.Atoi(count)
			if err != nil {
				panic(record)
			}
			n += i
		}
	}
	return n
}

func oneStream(t *testing.T) {
	const concurrency = 4
	s := newScene(t, trustingTests(), signpost.WithHostConcurrency(concurrency))
	var open, most atomic.Int64
	server := httptest.NewUnstartedServer(s.ledger.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server.EnableHTTP2 = true
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			n := open.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{goodCertificate()}}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	var ids []string
	for i := range 60 {
		ids = append(ids, s.sendOnly(fmt.Sprintf("%s/%d", server.URL, i)))
	}
	ids = append(ids, s.send(server.URL))
	for _, id := range ids {
		os := s.ends(id)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	}
	assert.LessOrEqual(t, most.Load(), int64(8*concurrency), "far fewer than messages")
}

// shutWindow sends more than fits into the window that HTTP/2 begins with, so that it doesn't matter when the client
// hears of a smaller one.
func shutWindow(t *testing.T) {
	w := newWatch(t, trustingTests(), briefly, patient)
	r := newH2Receiver(w.scene, func(c *h2Conn) {
		c.settings(initialWindowSize, 0)
		for i := range 2 {
			f, ok := c.await(func(f h2Frame) bool { return f.kind == frameHeaders })
			if !ok {
				return
			}
			if i == 1 {
				c.goAway(f.stream, noError)
			}
		}
		c.hang()
	})
	id, err := w.d.Send(ctx, r.URL, strings.Repeat("x", 100<<10))
	require.NoError(t, err)
	w.ledger.Accept(id)
	w.send(w.neighbour.URL)
	os := w.ends(id)
	h2TimedOut(t, os)
	w.blamed(t, r.URL, len(os)-1)
	_, posts := r.counts()
	assert.LessOrEqual(t, posts, len(os))
}

// usedUpConnections is a receiver that answers one request on a connection, and says that it takes no more, but leaves the
// connection open.
func usedUpConnections(t *testing.T) {
	const concurrency = 4
	w := newWatch(t, trustingTests(), signpost.WithHostConcurrency(concurrency), patient)
	mended := make(chan struct{})
	scripts := make([]h2Script, 20*concurrency)
	for i := range scripts {
		scripts[i] = func(c *h2Conn) {
			c.settings()
			if stream, ok := c.request(); ok {
				c.settings(maxConcurrentStreams, 0)
				c.write(frameHeaders, flagEndHeaders|flagEndStream, stream, status200)
				read := c.alongside(c.hang)
				select {
				case <-mended:
					c.Conn.(*tls.Conn).NetConn().Close()
				case <-read:
				}
				<-read
			}
		}
	}
	r := newH2Receiver(w.scene, scripts...)
	delivered, id := 0, ""
	for {
		id = w.send(r.URL)
		if w.tried(id, 1)[0].State != signpost.Delivered {
			break
		}
		w.ledger.Handle(id)
		delivered++
		require.Less(t, delivered, len(scripts), "each message has left a connection behind")
	}
	assert.LessOrEqual(t, delivered, 4*concurrency)
	assert.Equal(t, signpost.Retry, signpost.Classify(w.ledger.Of(id)[0].Attempt))
	close(mended)
	os := w.ends(id)
	w.ledger.Handle(id)
	assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
}
