package faults

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// drippingBody is a receiver whose body always takes longer than an attempt may.
func drippingBody(code int) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t, signpost.WithTimeout(shortTimeout), signpost.WithRetryPolicy(policy(3)))
		r := newRawReceiver(s, repeat(3, reads(func(c *rawConn) {
			if code == 200 {
				c.handle()
			}
			c.write(statusLine(code) + "Content-Length: 10000\r\n\r\n")
			drips(strings.Repeat("x", 10_000))(c)
		}))...)
		os := s.ends(s.send(hook(r)))
		answered := 0
		for _, o := range os {
			assert.GreaterOrEqual(t, o.Attempt.Duration, shortTimeout)
			if o.Attempt.StatusCode == 0 { // on a slow machine it may come too late
				assert.ErrorIs(t, o.Attempt.Err, context.DeadlineExceeded)
				continue
			}
			answered++
			assert.Equal(t, code, o.Attempt.StatusCode)
			assert.NoError(t, o.Attempt.Err)
			assert.Equal(t, code == 200, o.State == signpost.Delivered)
		}
		assert.Positive(t, answered)
		if code != 200 && answered == len(os) {
			checkHost(s, r.URL, false)
		}
		waitForClosed(s, r, 0)
	}
}

// neverAccepted is a receiver whose listener is there, but nobody accepts what comes.
func neverAccepted(t *testing.T) {
	s := newScene(t, signpost.WithTimeout(shortTimeout), signpost.WithRetryPolicy(policy(2)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	url := "http://" + listener.Addr().String()
	diesOfTimeouts(s, s.send(url+"/hook?token="+token), url)
}

// neverReads is a receiver that doesn't read a message that is too large for the buffers of the sockets.
func neverReads(t *testing.T) {
	s := newScene(t, largeAllowed, signpost.WithTimeout(shortTimeout), signpost.WithRetryPolicy(policy(2)))
	r := newRawReceiver(s, deaf, deaf)
	diesOfTimeouts(s, sendMessage(s, &signpost.Message{URL: hook(r), Payload: large()}), r.URL)
	_, requests := r.counts()
	assert.Zero(t, requests)
}

// diesOfTimeouts checks that both of a message's attempts have taken all of their time, which counts against the host.
func diesOfTimeouts(s *scene, id, url string) {
	s.t.Helper()
	os := s.ends(id)
	require.Equal(s.t, []signpost.State{signpost.Retrying, signpost.Dead}, states(os))
	assert.ErrorIs(s.t, os[1].Reason, signpost.ErrExhausted)
	for _, o := range os {
		assert.Zero(s.t, o.Attempt.StatusCode)
		assert.GreaterOrEqual(s.t, o.Attempt.Duration, shortTimeout)
		assert.ErrorIs(s.t, o.Attempt.Err, context.DeadlineExceeded)
		checkError(s.t, o.Attempt.Err)
	}
	checkHost(s, url, true)
}

// answerWhileSending is a receiver that answers when it has seen a request's headers, and reads no further.
func answerWhileSending(code int) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t, largeAllowed)
		r := newRawReceiver(s, readsHeader(func(c *rawConn) {
			if code == 200 {
				c.handle()
			}
			c.write(statusLine(code) + noBody)
			deaf(c)
		}))
		want := []signpost.State{signpost.Delivered}
		if code != 200 {
			want = []signpost.State{signpost.Retrying, signpost.Delivered}
		}
		os := s.ends(sendMessage(s, &signpost.Message{URL: hook(r), Payload: large()}))
		require.Equal(t, want, states(os))
		assert.Equal(t, code, os[0].Attempt.StatusCode)
		assert.NoError(t, os[0].Attempt.Err)
		os = s.ends(s.send(hook(r)))
		require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
		connections, _ := r.counts()
		assert.GreaterOrEqual(t, connections, 2, "the first one must not be used again")
		assert.Zero(t, s.ledger.Balance().Duplicates)
	}
}

// resetWhileSending is a receiver that refuses a large message and throws away what was sent of it. Its reset may
// reach the sender before its answer does.
func resetWhileSending(t *testing.T) {
	s := newScene(t, largeAllowed)
	r := newRawReceiver(s, readsHeader(sayAndReset(statusLine(413)+noBody)))
	os := s.ends(sendMessage(s, &signpost.Message{URL: hook(r), Payload: large()}))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
	if a := os[0].Attempt; a.StatusCode != 0 {
		assert.Equal(t, 413, a.StatusCode)
		assert.NoError(t, a.Err)
	} else {
		checkError(t, a.Err)
	}
	_, requests := r.counts()
	assert.Equal(t, 1, requests)
}

// large is a payload that doesn't fit into the buffers of two sockets, if one of them isn't read.
func large() []byte { return []byte(`"` + strings.Repeat("x", 5<<20) + `"`) }

var largeAllowed = signpost.WithMaxPayload(16 << 20)

// sendMessage enqueues a message, and sends another one to the healthy neighbour.
func sendMessage(s *scene, m *signpost.Message) (id string) {
	s.t.Helper()
	require.NoError(s.t, s.d.Enqueue(ctx, m))
	s.ledger.Accept(m.ID)
	s.send(s.neighbour.URL)
	return m.ID
}
