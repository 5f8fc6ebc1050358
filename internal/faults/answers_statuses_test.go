package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// refusedWith is a status that calls for a retry. host tells whether it counts against the host as well.
func refusedWith(code int, host bool) func(t *testing.T) {
	answer := raw(statusLine(code) + noBody)
	return func(t *testing.T) {
		retried(answer, failure{status: code, host: host})(t)
		breaks(t, code, host)
	}
}

// breaks has an endpoint answer with a status until its breaker opens, and looks whether another endpoint of the same
// host is held up.
func breaks(t *testing.T, code int, host bool) {
	s := newScene(t, signpost.WithRetryPolicy(policy(1000)))
	var vs arrivals
	r := newRawReceiver(s, repeat(1000, vs.answering(func(c *rawConn, v arrival) {
		if v.path == "/hook" {
			say(statusLine(code) + noBody)(c)
			return
		}
		c.answerOK()
	}))...)
	id := s.send(hook(r))
	failure{status: code, host: host}.check(s, r, s.tried(id, breakerThreshold))
	assert.Equal(t, 1, statsOf(s, r.URL).Paused, "the endpoint's breaker")
	os := s.ends(s.sendOnly(r.URL + "/other"))
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(os), "another endpoint of the host")
	if host {
		held := vs.of("/other")[0].at.Sub(vs.of("/hook")[breakerThreshold-1].at)
		assert.GreaterOrEqual(t, held, firstProbe, "the host's breaker")
	}
}

const (
	breakerThreshold = 5           // failures in a row that open a breaker
	firstProbe       = time.Second // how long it is closed to all at first
)

// refusedByOne is an endpoint that answers 503, while others of its host are answered with 200.
func refusedByOne(t *testing.T) {
	s := newScene(t, signpost.WithRetryPolicy(policy(1000)))
	var vs arrivals
	arrived, others := make(chan struct{}), make(chan struct{})
	r := newRawReceiver(s, repeat(1000, vs.answering(func(c *rawConn, v arrival) {
		if v.path != "/hook" {
			c.answerOK()
			return
		}
		select {
		case arrived <- struct{}{}:
			awaitIn(c, others)
		case <-c.r.done:
		}
		say(statusLine(503) + noBody)(c)
	}))...)
	id := s.send(hook(r))
	for range breakerThreshold {
		await(s, arrived)
		assert.Equal(t, []signpost.State{signpost.Delivered}, states(s.ends(s.sendOnly(r.URL+"/other"))))
		others <- struct{}{} // the script waits for it
	}
	failure{status: 503}.check(s, r, s.tried(id, breakerThreshold))
	h := statsOf(s, r.URL)
	assert.Equal(t, 1, h.Paused, "the endpoint's breaker")
	assert.Equal(t, 2, h.Endpoints)
}

// gone is an endpoint that answers 410 while more messages wait for it.
func gone(t *testing.T) {
	s := newScene(t)
	var vs arrivals
	others := make(chan struct{})
	r := newRawReceiver(s, repeat(1000, vs.answering(func(c *rawConn, v arrival) {
		if v.path == "/hook" && v.number == 1 {
			awaitIn(c, others)
			say(statusLine(410) + noBody)(c)
			return
		}
		c.answerOK()
	}))...)
	first := s.send(hook(r))
	var waiting []string
	for range 3 {
		waiting = append(waiting, s.sendOnly(hook(r)+"&also"))
	}
	other := s.send(r.URL + "/other")
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(s.ends(other)), "another endpoint of the host")
	close(others)

	os := s.ends(first)
	require.Equal(t, []signpost.State{signpost.Dead}, states(os))
	assert.ErrorIs(t, os[0].Reason, signpost.ErrGone)
	assert.Equal(t, 410, os[0].Attempt.StatusCode)
	assert.NoError(t, os[0].Attempt.Err)
	for _, id := range waiting {
		os := s.ends(id)
		require.Equal(t, []signpost.State{signpost.Dead}, states(os))
		assert.ErrorIs(t, os[0].Reason, signpost.ErrGone)
		assert.Zero(t, os[0].Attempt, "there was none")
	}
	assert.Len(t, vs.of("/hook"), 1)

	os = s.ends(s.send(hook(r)))
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(os), "a message sent later is tried again")
}

// redirected is a receiver that sends signpost elsewhere: to nowhere, to a path of its own, and to somebody else on
// loopback, which the dispatcher may reach.
func redirected(code int) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t)
		target := newRawReceiver(s)
		var vs arrivals
		locations := []string{"", "Location: \r\n", "Location: /elsewhere\r\n", "Location: " + target.URL + "/\r\n", "Location: //" + target.URL[len("http://"):] + "/\r\n"}
		r := newRawReceiver(s, repeat(1000, vs.answering(func(c *rawConn, v arrival) {
			if n := v.number - 1; n%2 == 0 { // each message's first
				say(statusLine(code) + locations[n/2] + noBody)(c)
				return
			}
			c.answerOK()
		}))...)
		for range locations {
			os := s.ends(s.send(hook(r)))
			require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
			assert.Equal(t, code, os[0].Attempt.StatusCode)
			assert.NoError(t, os[0].Attempt.Err)
		}
		assert.Len(t, vs.of("/hook"), 2*len(locations))
		assert.Empty(t, vs.of("/elsewhere"))
		connections, requests := target.counts()
		assert.Zero(t, connections, "the target of a redirect")
		assert.Zero(t, requests)
	}
}
