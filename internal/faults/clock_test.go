package faults

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// clockFaults are faults of clocks, and those that last for hours or days. Their tests run in synctest bubbles: in a
// bubble nobody can set the clock, so another clock comes in where it does in truth, by dates that others have made.
var clockFaults = []fault{
	{"a message from the future", "It is sent at once, and expires MaxAge after it was accepted.", fromTheFuture},
	{"a message from the past", "It expires MaxAge after its creation: one that is older already is dead (ErrExpired) and never sent.", fromThePast},
	{"a message from another machine's clock", "Its creation time counts as an instant, whatever its zone and without a monotonic reading.",
		fromAnotherMachine},
	{"a Retry-After by a clock that is behind", "A date in the past is ignored: the backoff counts.", retryAfterBehind},
	{"a Retry-After by a clock that is ahead", "It is believed, up to MaxRetryAfter.", retryAfterAhead},
	{"a retry long after the first attempt", "webhook-timestamp is the attempt's time, not the message's; webhook-id stays.", timestamps},

	{"suspended for 8 h", "What is overdue goes out at the hosts' rate limits and within their windows, not all at once.", overdue},
	{"suspended for longer than MaxAge", "What has become too old meanwhile is dead (ErrExpired) and never sent.", overdueTooOld},
	{"restarted after 8 h", "The same for messages that another dispatcher handed back: their age and attempts go on where they were.", handedOver},

	{"a host refuses connections for two days",
		"It gets one probe in 5 min. What grows older than MaxAge is dead and lets its memory go; the rest is delivered when the host is back, at its rate limit.",
		hostDown(clockReply{err: errRefused})},
	{"a host hangs for two days", "The same.", hostDown(clockReply{takes: -1})},
	{"an endpoint answers 500 for two days", "It gets one probe in 5 min. Its host's other endpoints don't notice.",
		endpointDown(clockReply{status: 500, takes: time.Second})},
	{"an endpoint hangs for two days", "The same: while its host answers others, that it hangs says nothing of the host.",
		endpointDown(clockReply{takes: -1})},
	{"an endpoint hangs on a host that gets few messages",
		"Until its breaker is open, the host's other messages may wait for its attempts to time out.", endpointDownOnAQuietHost},
	{"a hundred hosts hang for half a day", "Together they hold at most half of the workers, and each gets one probe in 5 min.", hundredHostsDown},
}

// inBubble runs a test in a bubble.
func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// everyTenMinutes is a policy under which a message that fails lives for MaxAge: an hour.
var everyTenMinutes = signpost.WithRetryPolicy(signpost.RetryPolicy{
	MaxAttempts: 100, MaxAge: time.Hour,
	BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(10 * time.Minute) },
})

// lifetime enqueues a message that was made at the given time and always fails, and returns how long it lived from
// now on, and how many requests it took.
func lifetime(t *testing.T, createdAt time.Time) (lived time.Duration, requests int) {
	w := newClockWorld(t, everyTenMinutes)
	w.answer = func(*visit) clockReply { return clockReply{status: 500} }
	id := w.enqueue(&signpost.Message{URL: "http://a.example/", Payload: []byte(`{}`), CreatedAt: createdAt})
	synctest.Wait()
	require.NoError(t, w.d.Shutdown(ctx))
	end := w.ledger.Last(id)
	assert.ErrorIs(t, end.Reason, signpost.ErrExpired)
	assert.Zero(t, end.Attempt, "it needs no attempt to die")
	return time.Since(w.begin), len(w.visits)
}

func fromTheFuture(t *testing.T) {
	for name, createdAt := range map[string]func(now time.Time) time.Time{
		"a second":         func(now time.Time) time.Time { return now.Add(time.Second) },
		"10 h":             func(now time.Time) time.Time { return now.Add(10 * time.Hour) },
		"a thousand years": func(now time.Time) time.Time { return now.AddDate(1000, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				lived, requests := lifetime(t, createdAt(time.Now().Round(0)))
				assert.Equal(t, time.Hour, lived)
				assert.Equal(t, 6, requests, "at 0, 10, … 50 minutes")
			})
		})
	}
}

func fromThePast(t *testing.T) {
	for name, c := range map[string]struct {
		age      time.Duration
		lived    time.Duration
		requests int
	}{
		"half of MaxAge":  {30 * time.Minute, 30 * time.Minute, 3},
		"between retries": {25 * time.Minute, 40 * time.Minute, 4}, // it dies at its next turn
		"almost MaxAge":   {time.Hour - 1, 10 * time.Minute, 1},
		"MaxAge":          {time.Hour, 0, 0},
		"two centuries":   {200 * 365 * 24 * time.Hour, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				lived, requests := lifetime(t, time.Now().Round(0).Add(-c.age))
				assert.Equal(t, c.lived, lived)
				assert.Equal(t, c.requests, requests)
			})
		})
	}
	t.Run("the first second of the calendar", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			lived, requests := lifetime(t, time.Time{}.Add(time.Second))
			assert.Zero(t, lived)
			assert.Zero(t, requests)
		})
	})
}

func fromAnotherMachine(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		text, err := json.Marshal(time.Now().Add(-30 * time.Minute).In(time.FixedZone("", 14*60*60)))
		require.NoError(t, err)
		var createdAt time.Time
		require.NoError(t, json.Unmarshal(text, &createdAt))
		lived, requests := lifetime(t, createdAt)
		assert.Equal(t, 30*time.Minute, lived)
		assert.Equal(t, 3, requests)
	})
}

func retryAfterBehind(t *testing.T) {
	retryAfterBy(t, -3*time.Hour, 4*time.Second, 6*time.Second) // the default backoff
}

func retryAfterAhead(t *testing.T) {
	t.Run("10 min", func(t *testing.T) {
		retryAfterBy(t, 10*time.Minute, 12*time.Minute-time.Second, 12*time.Minute*11/10)
	})
	t.Run("3 h", func(t *testing.T) { retryAfterBy(t, 3*time.Hour, time.Hour, time.Hour) })
}

// retryAfterBy has a receiver ask for two minutes by a clock that is ahead, and checks when it gets the next attempts.
func retryAfterBy(t *testing.T, ahead, soonest, latest time.Duration) {
	for _, status := range []int{429, 503} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newClockWorld(t)
				w.answer = func(v *visit) clockReply {
					if v.url == "http://a.example/busy" && v.before == 0 {
						return clockReply{status: status, retryAfter: time.Now().Add(ahead + 2*time.Minute).UTC().Format(http.TimeFormat)}
					}
					return clockReply{}
				}
				id := w.send("http://a.example/busy")
				synctest.Wait()
				behind, other := w.send("http://a.example/busy"), w.send("http://a.example/other")
				synctest.Wait()
				assert.Equal(t, delivered, states(w.ledger.Of(other)), "it holds up the endpoint alone")
				assert.Equal(t, ahead < 0, w.ledger.Last(behind).State == signpost.Delivered)
				require.NoError(t, w.d.Shutdown(ctx))
				os := w.ledger.Of(id)
				require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
				assert.Equal(t, os[1].Attempt.Start, os[0].RetryAt, "what the observer was told came true")
				wait := os[0].RetryAt.Sub(w.begin)
				assert.GreaterOrEqual(t, wait, soonest)
				assert.LessOrEqual(t, wait, latest)
				if ahead > 0 {
					assert.GreaterOrEqual(t, w.ledger.Last(behind).Attempt.Start.Sub(w.begin), soonest)
				}
			})
		})
	}
}

func timestamps(t *testing.T) {
	for name, age := range map[string]time.Duration{"from the past": 30 * time.Minute, "new": 0, "from the future": -10 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newClockWorld(t, everyTenMinutes)
				w.answer = func(v *visit) clockReply {
					if v.before < 2 {
						return clockReply{status: 500}
					}
					return clockReply{}
				}
				id := w.enqueue(&signpost.Message{URL: "http://a.example/", Payload: []byte(`{}`), CreatedAt: time.Now().Add(-age)})
				require.NoError(t, w.d.Shutdown(ctx))
				require.Len(t, w.visits, 3)
				for i, v := range w.visits {
					assert.Equal(t, w.begin.Add(time.Duration(i)*10*time.Minute), v.at)
					assert.Equal(t, strconv.FormatInt(v.at.Unix(), 10), v.timestamp)
					assert.Equal(t, id, v.id)
				}
				assert.Equal(t, signpost.Delivered, w.ledger.Last(id).State)
			})
		})
	}
}
