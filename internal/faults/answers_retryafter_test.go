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

// pausing are the statuses with which a Retry-After is a pause of the endpoint.
var pausing = []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}

// A wish makes a Retry-After, and says what time that is.
type wish func(now time.Time) (value string, until time.Time)

func inSeconds(now time.Time) (string, time.Time) { return "1", now.Add(time.Second) }

// asDate asks for a whole second that is not too near.
func asDate(layout string) wish {
	return func(now time.Time) (string, time.Time) {
		until := now.Add(1300 * time.Millisecond).Truncate(time.Second).UTC()
		return until.Format(layout), until
	}
}

// retryAfter is a receiver that asks for a pause, one for each status that may. Neither the message nor another one to
// the same endpoint may come before it is over.
func retryAfter(ask wish) func(t *testing.T) {
	return func(t *testing.T) {
		type asked struct {
			r           *rawReceiver
			vs          arrivals
			now, until  time.Time
			first, next string
		}
		s := newScene(t)
		all := make([]asked, len(pausing))
		for i, code := range pausing {
			a := &all[i]
			a.r = newRawReceiver(s, append([]script{a.vs.answering(func(c *rawConn, v arrival) {
				a.now = time.Now()
				var value string
				value, a.until = ask(a.now)
				say(statusLine(code) + "Retry-After: " + value + "\r\n" + noBody)(c)
			})}, repeat(10, a.vs.answering(func(c *rawConn, v arrival) {
				c.answerOK()
			}))...)...)
			a.first = s.send(hook(a.r))
			s.tried(a.first, 1)
			a.next = s.sendOnly(hook(a.r) + "&next")
		}
		for i, code := range pausing {
			a := &all[i]
			os := s.ends(a.first)
			require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
			assert.Equal(t, code, os[0].Attempt.StatusCode)
			assert.NoError(t, os[0].Attempt.Err)
			assert.False(t, os[0].RetryAt.Before(a.until), "the observer is told %v, %v was asked for", os[0].RetryAt, a.until)
			assert.LessOrEqual(t, waitAfter(os[0]), a.until.Sub(a.now)*11/10, "at most a tenth more")
			assert.Equal(t, []signpost.State{signpost.Delivered}, states(s.ends(a.next)), "what waits spends no attempt")
			got := a.vs.of("/hook")
			require.Len(t, got, 3)
			for _, v := range got[1:] {
				assert.False(t, v.at.Before(a.until), "a request comes at %v, not before %v was asked for", v.at, a.until)
			}
		}
	}
}

// retryAfterIgnored is a receiver whose Retry-After means nothing.
func retryAfterIgnored(values ...string) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t)
		for _, value := range values {
			for _, code := range pausing {
				r := newRawReceiver(s, raw(statusLine(code)+"Retry-After: "+value+"\r\n"+noBody))
				checkWait(s, s.send(hook(r)), code, 5*time.Millisecond)
			}
		}
	}
}

// retryAfterCut is a receiver whose Retry-After is longer than anybody waits.
func retryAfterCut(value string) func(t *testing.T) {
	const longest = 100 * time.Millisecond
	return func(t *testing.T) {
		s := newScene(t, signpost.WithRetryPolicy(signpost.RetryPolicy{
			BackOff:       func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) },
			MaxRetryAfter: longest,
		}))
		s.ledger.MaxRetryAfter = longest
		for _, code := range pausing {
			r := newRawReceiver(s, raw(statusLine(code)+"Retry-After: "+value+"\r\n"+noBody))
			checkWait(s, s.send(hook(r)), code, longest)
		}
	}
}

// checkWait checks that a message is retried after a wait, and then delivered.
func checkWait(s *scene, id string, code int, wait time.Duration) {
	s.t.Helper()
	os := s.ends(id)
	require.Equal(s.t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
	assert.Equal(s.t, code, os[0].Attempt.StatusCode)
	assert.NoError(s.t, os[0].Attempt.Err)
	assert.Equal(s.t, wait, waitAfter(os[0]))
}

// waitAfter is how long a message waits after an attempt.
func waitAfter(o signpost.Outcome) time.Duration {
	return o.RetryAt.Sub(o.Attempt.Start.Add(o.Attempt.Duration))
}
