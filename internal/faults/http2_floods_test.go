package faults

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// http2Floods are frames without end. Each is of a kind that has had a CVE in some implementation.
var http2Floods = []fault{
	{"a flood of PING", flooded, h2Flood(func(c *h2Conn, _ uint32) bool { return c.write(framePing, 0, 0, "01234567") })},
	{"a flood of SETTINGS", flooded, h2Flood(func(c *h2Conn, _ uint32) bool { return c.settings(maxConcurrentStreams, 100) })},
	{
		"a flood of PING whose answers nobody reads",
		"The attempt ends in time, and the connection is given up. Retries over a new one.", unreadFlood,
	},
	{"a flood of empty DATA frames", "Delivered at the end of the attempt's time: the status counts.", emptyData},
	{"a response body without end over HTTP/2", "Delivered: the status counts. No more than 32 KiB of it are read.", endlessBody},
	{"a flood of 1xx responses", retriedOnce + " The headers of all of them together are limited to 64 KiB.", h2Retried(2,
		isReset(protocolError), twoRequests(func(c *h2Conn, stream uint32) {
			for range 2000 { // of 42 bytes, as RFC 9113, section 10.5.1 counts
				c.write(frameHeaders, flagEndHeaders, stream, status103)
			}
		}))},
	{"CONTINUATION frames without end", retriedNewConn + " No more than 64 KiB of headers are kept.", endlessHeaders},
	{"empty CONTINUATION frames without end", flooded, emptyContinuations},
}

const flooded = "The attempt ends in time, sends less to that host, and retries with backoff. Nothing piles up."

// briefly is for a fault that lasts until the attempt ends.
var briefly = signpost.WithTimeout(300 * time.Millisecond)

// h2Flood is a receiver that answers two requests on a connection with frames without end, and is healthy on the next one.
func h2Flood(flood func(c *h2Conn, stream uint32) bool) func(t *testing.T) {
	// On a busy machine the receiver may see the request when its time is over. Then there was no flood yet.
	return func(t *testing.T) {
		for tries := 0; !isFlooded(t, flood); tries++ {
			require.Less(t, tries, 20, "the receiver never gets to flood")
		}
	}
}

// isFlooded reports whether there was a flood, and asserts what comes of it in any case.
func isFlooded(t *testing.T, flood func(c *h2Conn, stream uint32) bool) bool {
	w := newWatch(t, trustingTests(), briefly, patient)
	var frames atomic.Int64
	r := newH2Receiver(w.scene, func(c *h2Conn) {
		c.settings()
		stream, ok := c.request()
		if !ok {
			return
		}
		read := c.alongside(func() { // what the flood is answered with, and one more request
			if stream, ok := c.request(); ok {
				c.goAway(stream, noError)
				c.hang()
			}
		})
		for flood(c, stream) { // until the client closes the connection
			if frames.Add(1)%100 == 0 {
				time.Sleep(time.Millisecond) // leaves others something of the machine
			}
		}
		<-read
	})
	os := w.ends(w.send(r.URL))
	h2TimedOut(t, os)
	w.blamed(t, r.URL, len(os)-1)
	accepted, posts := r.counts()
	assert.GreaterOrEqual(t, accepted, 2)
	assert.LessOrEqual(t, posts, len(os), "no more requests than attempts")
	assert.Equal(t, len(os), begun(w.scene))
	return frames.Load() > 0
}

// h2TimedOut asserts that a message was delivered in the end, and that it ran out of time before.
func h2TimedOut(t *testing.T, os []signpost.Outcome) {
	t.Helper()
	require.GreaterOrEqual(t, len(os), 2)
	assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	assert.Equal(t, signpost.Retrying, os[0].State)
	assert.Zero(t, os[0].Attempt.StatusCode)
	assert.ErrorIs(t, os[0].Attempt.Err, context.DeadlineExceeded)
	assert.Equal(t, signpost.Throttle, signpost.Classify(os[0].Attempt))
}

// alongside does something while the script goes on. The channel that it returns is closed afterwards.
func (c *h2Conn) alongside(do func()) <-chan struct{} {
	done := make(chan struct{})
	c.r.wg.Go(func() {
		defer close(done)
		do()
	})
	return done
}

// unreadFlood fills the way back: the client can't write any more.
func unreadFlood(t *testing.T) {
	w := newWatch(t, trustingTests(), signpost.WithTimeout(2*time.Second), patient)
	read, closed := make(chan struct{}), make(chan struct{})
	r := newH2Receiver(w.scene, func(c *h2Conn) {
		c.settings()
		if _, ok := c.request(); !ok {
			return
		}
		flood := c.alongside(func() {
			pings := []byte(strings.Repeat(string(frame(8, framePing, 0, 0, "01234567")), 1000))
			for {
				if _, err := c.Write(pings); err != nil {
					return
				}
			}
		})
		select {
		case <-read: // only now, to find the end of what the client has sent
			c.hang()
			close(closed)
		case <-flood:
			close(closed)
		}
		c.Conn.(*tls.Conn).NetConn().Close()
		<-flood
	})
	stop := sync.OnceFunc(func() { close(read) })
	t.Cleanup(stop) // before the receiver waits for its scripts
	os := w.ends(w.send(r.URL))
	h2TimedOut(t, os)
	stop()
	awaitWord(t, closed, "the client to close the connection")
	accepted, posts := r.counts()
	assert.GreaterOrEqual(t, accepted, 2)
	assert.LessOrEqual(t, posts, len(os))
	assert.Equal(t, len(os), begun(w.scene))
}

func emptyData(t *testing.T) {
	s := newScene(t, trustingTests(), briefly, patient)
	var given atomic.Bool
	r := newH2Receiver(s, func(c *h2Conn) {
		c.settings()
		stream, ok := c.request()
		if !ok {
			return
		}
		c.write(frameHeaders, flagEndHeaders, stream, status200)
		read := c.alongside(func() {
			_, ok := c.await(func(f h2Frame) bool { return f.kind == frameReset })
			given.Store(ok)
			c.goAway(stream, noError)
			c.hang()
		})
		for c.write(frameData, 0, stream, "") {
			time.Sleep(10 * time.Microsecond)
		}
		<-read
	})
	id := s.send(r.URL)
	os := s.ends(id)
	s.ledger.Handle(id)
	last := os[len(os)-1]
	assert.Equal(t, signpost.Delivered, last.State)
	assert.Equal(t, 200, last.Attempt.StatusCode)
	assert.GreaterOrEqual(t, last.Attempt.Duration, 300*time.Millisecond, "its body was waited for")
	assert.Empty(t, last.Attempt.Body)
	s.wait("the client to give the stream up", given.Load)
	_, posts := r.counts()
	assert.LessOrEqual(t, posts, len(os))
}

func endlessBody(t *testing.T) {
	s := newScene(t, trustingTests())
	var sent atomic.Int64
	ended := make(chan bool, 1)
	r := newH2Receiver(s, func(c *h2Conn) {
		c.settings()
		stream, ok := c.request()
		if !ok {
			return
		}
		c.write(frameHeaders, flagEndHeaders, stream, status200)
		var given atomic.Bool
		read := c.alongside(func() {
			c.await(func(f h2Frame) bool { return f.kind == frameReset && f.stream == stream })
			given.Store(true)
			ended <- true
			c.hang()
		})
		// A client that read on would grant more than this. This one closes the connection if more comes than it granted.
		for chunk := strings.Repeat("x", 1<<10); !given.Load() && sent.Load() < 4<<20; sent.Add(1 << 10) {
			c.write(frameData, 0, stream, chunk)
		}
		<-read
	})
	id := s.send(r.URL)
	os := s.ends(id)
	s.ledger.Handle(id)
	require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
	assert.Len(t, os[0].Attempt.Body, 16<<10)
	awaitWord(t, ended, "the stream, or the connection, to be given up")
	assert.Less(t, sent.Load(), int64(4<<20))
	_, posts := r.counts()
	assert.Equal(t, 1, posts)
}

func endlessHeaders(t *testing.T) {
	var sent atomic.Int64
	const most = 64 << 20 // what sockets buffer is far less
	h2Retried(3, nil, twoConnections(func(c *h2Conn, stream uint32) {
		block := strings.Repeat(header100, 150)
		c.write(frameHeaders, flagEndStream, stream, status200)
		for n := 0; n < most && c.write(frameContinuation, 0, stream, block); n += len(block) {
			sent.Add(int64(len(block)))
		}
	})...)(t)
	assert.Less(t, sent.Load(), int64(most), "the connection is closed")
}

// emptyContinuations occupies a connection with a header block that costs the client nothing but never ends, until another
// request comes that it can't answer.
func emptyContinuations(t *testing.T) {
	w := newWatch(t, trustingTests(), briefly, patient)
	r := newH2Receiver(w.scene, func(c *h2Conn) {
		c.settings()
		stream, ok := c.request()
		if !ok {
			return
		}
		c.mute = true // any other frame would end the header block
		read := c.alongside(func() { c.await(func(f h2Frame) bool { return f.kind == frameHeaders }) })
		c.write(frameHeaders, flagEndStream, stream, status200)
		for c.write(frameContinuation, 0, stream, "") {
			select {
			case <-read:
				return
			case <-time.After(time.Millisecond):
			}
		}
		<-read
	})
	os := w.ends(w.send(r.URL))
	h2TimedOut(t, os)
	w.blamed(t, r.URL, len(os)-1)
	accepted, posts := r.counts()
	assert.GreaterOrEqual(t, accepted, 2)
	assert.LessOrEqual(t, posts, len(os))
	assert.Equal(t, len(os), begun(w.scene))
}
