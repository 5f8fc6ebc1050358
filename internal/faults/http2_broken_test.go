package faults

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// http2Broken are frames that are against the rules.
var http2Broken = []fault{
	{"garbage instead of SETTINGS", retriedNewConn, garbageForSettings},
	{"a frame larger than is allowed", retriedNewConn, h2Retried(3, nil, twoConnections(func(c *h2Conn, stream uint32) {
		c.Write(frame(1<<24-1, frameHeaders, flagEndHeaders|flagEndStream, stream, status200))
	})...)},
	{"a header block that can't be decoded", retriedNewConn, h2Retried(3, nil, twoConnections(func(c *h2Conn, stream uint32) {
		c.write(frameHeaders, flagEndHeaders|flagEndStream, stream, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") // an endless integer
	})...)},
	{"a pushed response", retriedNewConn, h2Retried(3, nil, twoConnections(func(c *h2Conn, stream uint32) {
		c.write(framePushPromise, flagEndHeaders, stream, uint32s(2)+"\x83\x84\x86")
	})...)},
	{"a response without a status", retriedOnce, h2Retried(2, isReset(protocolError), twoRequests(func(c *h2Conn, stream uint32) {
		c.write(frameHeaders, flagEndHeaders|flagEndStream, stream, "\x00\x01x\x01y")
	}))},
	{"a body without headers", retriedOnce, h2Retried(2, isReset(protocolError), twoRequests(func(c *h2Conn, stream uint32) {
		c.write(frameData, flagEndStream, stream, "body")
	}))},
	{"more response headers than are allowed", retriedOnce, h2Retried(2, isReset(protocolError), twoRequests(func(c *h2Conn, stream uint32) {
		c.headers(stream, status200+strings.Repeat(header100, 500)) // 64 KiB as RFC 9113, section 10.5.1 counts
	}))},
	{"impossible status codes over HTTP/2", "Retries with backoff. It counts against the endpoint, not the host.", impossibleStatuses},
}

// header100 is a header field of about 100 bytes, as a literal that the receiver needn't remember.
var header100 = "\x00\x01x\x64" + strings.Repeat("y", 0x64)

// garbageForSettings breaks a connection so early that a request may or may not be on its way.
func garbageForSettings(t *testing.T) {
	garbage := func(c *h2Conn) {
		c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
		c.hang()
	}
	w := newWatch(t, trustingTests())
	r := newH2Receiver(w.scene, garbage, garbage)
	os := w.ends(w.send(r.URL))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
	for _, o := range os[:2] {
		assert.Zero(t, o.Attempt.StatusCode)
		assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt), "%v", o.Attempt.Err)
	}
	w.blamed(t, r.URL, 2)
	accepted, posts := r.counts()
	assert.Equal(t, 3, accepted)
	assert.LessOrEqual(t, posts, 3)
	assert.Equal(t, 3, begun(w.scene))
}

func impossibleStatuses(t *testing.T) {
	statuses := []string{"-1", "0", "42", "1000", "99999"}
	w := newWatch(t, trustingTests())
	r := newH2Receiver(w.scene, func(c *h2Conn) {
		c.settings()
		for i, status := range statuses {
			stream, ok := c.request()
			if !ok {
				return
			}
			if i == len(statuses)-1 {
				c.goAway(stream, noError)
			}
			c.write(frameHeaders, flagEndHeaders|flagEndStream, stream, "\x08"+string(rune(len(status)))+status)
		}
		c.hang()
	})
	os := w.ends(w.send(r.URL))
	require.Len(t, os, len(statuses)+1)
	for i, o := range os[:len(statuses)] {
		assert.Equal(t, signpost.Retrying, o.State)
		assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt), statuses[i])
		assert.False(t, o.Attempt.StatusCode >= 100 && o.Attempt.StatusCode < 600, statuses[i])
	}
	assert.Equal(t, signpost.Delivered, os[len(statuses)].State)
	w.notBlamed(t, r.URL, len(statuses))
	accepted, posts := r.counts()
	assert.Equal(t, 2, accepted)
	assert.Equal(t, len(statuses)+1, posts)
}
