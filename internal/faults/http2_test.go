package faults

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// http2Faults are faults of HTTP/2 connections and of the streams on them.
var http2Faults = slices.Concat(http2Endings, http2Broken, http2Floods, http2Limits, http2Silence)

const (
	retriedOnce    = "Retries with backoff; net/http sends nothing again on its own. It counts against the host."
	retriedNewConn = "Gives the connection up, and retries with backoff over a new one. It counts against the host."
)

// http2Endings are ends of streams and connections that a receiver brings about by the rules.
var http2Endings = []fault{
	{
		"GOAWAY before a request is processed", retriedNewConn,
		h2Retried(3, nil, twoConnections(func(c *h2Conn, stream uint32) { c.goAway(0, noError) })...),
	},
	{
		"GOAWAY with an error code", retriedNewConn,
		h2Retried(3, nil, oneRequest(func(c *h2Conn, stream uint32) { c.goAway(0, enhanceYourCalm) }),
			oneRequest(func(c *h2Conn, stream uint32) {
				c.goAway(stream, internalError)
				c.end()
			})),
	},
	{"GOAWAY while a request is answered", "Delivered. The next request goes over a new connection.", gracefulGoAway},
	{"RST_STREAM with REFUSED_STREAM", retriedOnce, h2Retried(2, nil, resets(refusedStream))},
	{"RST_STREAM with INTERNAL_ERROR", retriedOnce, h2Retried(2, isReset(internalError), resets(internalError))},
	{"RST_STREAM with CANCEL", retriedOnce, h2Retried(2, isReset(cancelled), resets(cancelled))},
	{"RST_STREAM with NO_ERROR before the response", retriedOnce, h2Retried(2, isReset(noError), resets(noError))},
	{
		"RST_STREAM with PROTOCOL_ERROR", retriedNewConn,
		h2Retried(3, nil, twoConnections(func(c *h2Conn, stream uint32) { c.reset(stream, protocolError) })...),
	},
	{"RST_STREAM after a 2xx", "Delivered: the status counts, even if the body breaks off.", resetAfter200},
	{"RST_STREAM after a 500", "The status counts: retries with backoff. It counts against the endpoint, not the host.", resetAfter500},
	{
		"an HTTP/2 connection closed before the response", retriedNewConn,
		h2Retried(3, isCutOff, twoConnections(func(c *h2Conn, stream uint32) { c.end() })...),
	},
	{
		"an HTTP/2 connection closed in the middle of a HEADERS frame", retriedNewConn,
		h2Retried(3, isCutOff, twoConnections(func(c *h2Conn, stream uint32) {
			c.Write(frame(100, frameHeaders, flagEndHeaders|flagEndStream, stream, status200))
			c.end()
		})...),
	},
}

// h2Retried is a receiver that fails twice as its scripts do, without a status, and is healthy on the last of its
// connections.
func h2Retried(connections int, check func(t *testing.T, err error), scripts ...h2Script) func(t *testing.T) {
	return func(t *testing.T) {
		w := newWatch(t, trustingTests())
		r := newH2Receiver(w.scene, scripts...)
		os := w.ends(w.send(r.URL))
		require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
		for _, o := range os[:2] {
			assert.Zero(t, o.Attempt.StatusCode)
			require.Error(t, o.Attempt.Err)
			assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt), "%v", o.Attempt.Err)
			if check != nil {
				check(t, o.Attempt.Err)
			}
		}
		w.blamed(t, r.URL, 2)
		accepted, posts := r.counts()
		assert.Equal(t, connections, accepted)
		assert.Equal(t, 3, posts, "one request for each attempt")
		assert.Equal(t, 3, begun(w.scene))
	}
}

func trustingTests() signpost.Option {
	return signpost.WithTLSConfig(&tls.Config{RootCAs: trusted().pool})
}

// begun is how many attempts reached the transport, those to the neighbour aside.
func begun(s *scene) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.ledger.Balance().Attempts
	for _, id := range s.neighbours {
		n -= len(s.ledger.Of(id))
	}
	return n
}

// oneRequest is a connection on which one request is treated badly, until the client gives it up.
func oneRequest(bad func(c *h2Conn, stream uint32)) h2Script {
	return func(c *h2Conn) {
		c.settings()
		if stream, ok := c.request(); ok {
			bad(c, stream)
			c.hang()
		}
	}
}

func twoConnections(bad func(c *h2Conn, stream uint32)) []h2Script {
	return []h2Script{oneRequest(bad), oneRequest(bad)}
}

// twoRequests is a connection on which two requests are treated badly. The client knows by then that it must use no more
// streams on it.
func twoRequests(bad func(c *h2Conn, stream uint32)) h2Script {
	return func(c *h2Conn) {
		c.settings()
		for i := range 2 {
			stream, ok := c.request()
			if !ok {
				return
			}
			if i == 1 {
				c.goAway(stream, noError)
			}
			bad(c, stream)
		}
		c.hang()
	}
}

func resets(code uint32) h2Script {
	return twoRequests(func(c *h2Conn, stream uint32) { c.reset(stream, code) })
}

// A StreamError is what net/http gives away of its errors of streams; its name and fields must be these.
type StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (StreamError) Error() string { return "stream error" }

func isReset(code uint32) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		var reset StreamError
		if assert.True(t, errors.As(err, &reset), "%v", err) {
			assert.Equal(t, code, reset.Code)
		}
	}
}

func isCutOff(t *testing.T, err error) { assert.ErrorIs(t, err, io.ErrUnexpectedEOF) }

func gracefulGoAway(t *testing.T) {
	s := newScene(t, trustingTests())
	closed := make(chan struct{})
	r := newH2Receiver(s, func(c *h2Conn) {
		c.settings()
		if stream, ok := c.request(); ok {
			c.goAway(1<<31-1, noError) // RFC 9113, section 6.8: a warning, and then the last stream
			c.goAway(stream, noError)
			c.write(frameHeaders, flagEndHeaders|flagEndStream, stream, status200)
			c.hang()
			close(closed)
		}
	})
	first := s.send(r.URL)
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(s.ends(first)))
	s.ledger.Handle(first)
	awaitWord(t, closed, "the client to close the connection")
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(s.ends(s.send(r.URL))))
	accepted, posts := r.counts()
	assert.Equal(t, 2, accepted)
	assert.Equal(t, 2, posts)
	assert.Equal(t, 2, begun(s))
}

func resetAfter200(t *testing.T) {
	s := newScene(t, trustingTests())
	codes := []uint32{noError, cancelled, internalError}
	r := newH2Receiver(s, func(c *h2Conn) {
		c.settings()
		for _, code := range codes {
			if stream, ok := c.request(); ok {
				c.write(frameHeaders, flagEndHeaders, stream, status200)
				c.write(frameData, 0, stream, "half")
				c.reset(stream, code)
			}
		}
		c.hang()
	})
	for range codes {
		id := s.send(r.URL)
		os := s.ends(id)
		s.ledger.Handle(id)
		require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
		assert.Equal(t, 200, os[0].Attempt.StatusCode)
		assert.NoError(t, os[0].Attempt.Err)
	}
	accepted, posts := r.counts()
	assert.Equal(t, 1, accepted, "a stream that is reset costs no connection")
	assert.Equal(t, 3, posts)
	assert.Equal(t, 3, begun(s))
}

func resetAfter500(t *testing.T) {
	w := newWatch(t, trustingTests())
	r := newH2Receiver(w.scene, twoRequests(func(c *h2Conn, stream uint32) {
		c.write(frameHeaders, flagEndHeaders, stream, status500)
		c.reset(stream, internalError)
	}))
	os := w.ends(w.send(r.URL))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
	for _, o := range os[:2] {
		assert.Equal(t, 500, o.Attempt.StatusCode)
		assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt))
	}
	w.notBlamed(t, r.URL, 2)
	accepted, posts := r.counts()
	assert.Equal(t, 2, accepted)
	assert.Equal(t, 3, posts)
	assert.Equal(t, 3, begun(w.scene))
}
