package faults

import (
	"net/http"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// answerLost is a receiver that takes a message for delivered, but its answer doesn't come through.
func answerLost(t *testing.T) {
	s := newScene(t, signpost.WithRetryPolicy(signpost.RetryPolicy{
		BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Second) }, // a timestamp has whole seconds
	}))
	var vs arrivals
	r := newRawReceiver(s, vs.answering(func(c *rawConn, _ arrival) {
		c.handle()
		c.reset()
	}), vs.answering(func(c *rawConn, _ arrival) { c.answerOK() }))
	os := s.ends(s.send(hook(r)))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
	assert.Zero(t, os[0].Attempt.StatusCode)
	checkError(t, os[0].Attempt.Err)
	assert.Equal(t, 1, s.ledger.Balance().Duplicates)

	got := vs.of("/hook")
	require.Len(t, got, 2)
	first, second := got[0].header, got[1].header
	assert.Equal(t, first.Get("Webhook-Id"), second.Get("Webhook-Id"))
	assert.Less(t, first.Get("Webhook-Timestamp"), second.Get("Webhook-Timestamp"))
	assert.NotEqual(t, first.Get("Webhook-Signature"), second.Get("Webhook-Signature"))
}

// resetAfterwards is a receiver that resets a connection which could be used again, by what it said. The next message may
// be on its way by then.
func resetAfterwards(t *testing.T) {
	s := newScene(t)
	r := newRawReceiver(s, takes(sayAndReset(statusLine(200)+noBody)))
	os := s.ends(s.send(hook(r)))
	require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
	assert.Equal(t, 200, os[0].Attempt.StatusCode)
	assert.NoError(t, os[0].Attempt.Err)
	os = s.ends(s.send(hook(r)))
	if len(os) > 1 {
		assert.Equal(t, signpost.Retrying, os[0].State)
		checkError(t, os[0].Attempt.Err)
		os = os[1:]
	}
	require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
	connections, requests := r.counts()
	assert.Equal(t, 2, connections)
	assert.Equal(t, 2, requests)
}

// replayable are headers of which net/http takes some as leave to send a POST again on its own.
var replayable = []http.Header{nil, {"Idempotency-Key": {"1"}}, {"X-Idempotency-Key": {"1"}}}

// closedAsTheNextComes is a receiver that answers one message, keeps the connection, and closes it when the next
// message comes, of which it reads as many requests as a whole as read says.
func closedAsTheNextComes(closes script, read int) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t)
		for _, header := range replayable {
			r := newRawReceiver(s, answerOK, closes)
			require.Equal(t, []signpost.State{signpost.Delivered}, states(s.ends(s.send(hook(r)))))
			os := s.ends(sendMessage(s, &signpost.Message{URL: hook(r), Payload: []byte(`{}`), Header: header}))
			require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
			assert.Zero(t, os[0].Attempt.StatusCode)
			checkError(t, os[0].Attempt.Err)
			connections, requests := r.counts()
			assert.Equal(t, 1+read+1, requests)
			assert.LessOrEqual(t, connections, 3)
		}
		assert.Zero(t, s.ledger.Balance().Duplicates)
	}
}

// closedWhileIdle is a receiver that closes every connection after one answer, but doesn't say so. A message may be on
// its way by then.
func closedWhileIdle(t *testing.T) {
	s := newScene(t)
	s.send(s.neighbour.URL)
	r := newRawReceiver(s, repeat(1000, takes(sayAndClose(statusLine(200)+noBody)))...)
	const messages = 20
	attempts := 0
	for i := range messages {
		m := &signpost.Message{URL: hook(r), Payload: []byte(`{}`), Header: replayable[i%len(replayable)]}
		require.NoError(t, s.d.Enqueue(ctx, m))
		s.ledger.Accept(m.ID)
		os := s.ends(m.ID)
		attempts += len(os)
		for _, o := range os[:len(os)-1] {
			assert.Equal(t, signpost.Retrying, o.State)
			checkError(t, o.Attempt.Err)
		}
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	}
	connections, requests := r.counts()
	assert.Equal(t, messages, requests)
	assert.Equal(t, messages, connections, "%d attempts: those in vain were on a connection that was closed", attempts)
	assert.Zero(t, s.ledger.Balance().Duplicates)
}

// flapsByRequest is a host that resets every other connection.
func flapsByRequest(t *testing.T) {
	const messages, failures = 20, 10
	s := newScene(t, signpost.WithRetryPolicy(policy(failures+1)), signpost.WithHostConcurrency(1))
	var scripts []script
	for range failures {
		scripts = append(scripts, reads((*rawConn).reset), answerOK)
	}
	r := newRawReceiver(s, scripts...)
	ids := []string{s.send(hook(r))}
	for range messages - 1 {
		ids = append(ids, s.sendOnly(hook(r)))
	}
	attempts := 0
	for _, id := range ids {
		os := s.ends(id)
		attempts += len(os)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
		for _, h := range s.d.Hosts() {
			assert.Zero(t, h.Paused)
			assert.Zero(t, h.PausedUntil)
		}
	}
	assert.Equal(t, messages+failures, attempts)
}

// flapsByBatches is a host that fails so many times in a row that its breaker opens, then answers, and so on.
func flapsByBatches(t *testing.T) {
	const messages, good, batches = 12, 3, 2
	s := newScene(t, signpost.WithRetryPolicy(policy(batches*breakerThreshold+1)), signpost.WithHostConcurrency(1))
	var vs arrivals
	var scripts []script
	for range batches {
		scripts = append(scripts, repeat(good, vs.answering(func(c *rawConn, _ arrival) { c.answerOK() }))...)
		scripts = append(scripts, repeat(breakerThreshold, vs.answering(func(c *rawConn, _ arrival) { c.reset() }))...)
	}
	scripts = append(scripts, repeat(messages, vs.answering(func(c *rawConn, _ arrival) { c.answerOK() }))...)
	r := newRawReceiver(s, scripts...)
	ids := []string{s.send(hook(r))}
	for range messages - 1 {
		ids = append(ids, s.sendOnly(hook(r)))
	}
	for _, id := range ids {
		os := s.ends(id)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	}
	got := vs.of("/hook")
	require.Len(t, got, messages+batches*breakerThreshold)
	for i := range batches {
		after := (i + 1) * (good + breakerThreshold)
		assert.GreaterOrEqual(t, got[after].at.Sub(got[after-1].at), firstProbe, "the wait before the probe")
	}
}
