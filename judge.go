package signpost

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/signpost-go/signpost/internal/schedule"
)

// A judgement is what an attempt means for its message and for its receiver.
type judgement struct {
	outcome  Outcome
	verdict  Verdict
	result   schedule.Result
	attempts int // 1, or 0 if there was none: the endpoint is disabled
}

// judge asks the policy. A policy that panics is replaced by the default one.
func (d *Dispatcher) judge(a Attempt) (j judgement) {
	j.attempts = 1
	if errors.Is(a.Err, ErrDisabled) {
		return judgement{
			outcome: Outcome{State: Dead, Reason: ErrDisabled},
			verdict: Reject,
			result:  schedule.Result{Endpoint: schedule.Untried, Host: schedule.Untried},
		}
	}
	var hold time.Duration
	if !d.guard("retry policy", func() {
		j.verdict = d.config.policy.verdict(a)
		j.outcome, hold = d.config.policy.decide(a, j.verdict)
	}) {
		j.verdict = Classify(a)
		j.outcome, hold = RetryPolicy{MaxAttempts: d.config.policy.MaxAttempts}.withDefaults().decide(a, j.verdict)
	}
	j.result = evidence(a, j.verdict)
	if hold > 0 && (a.StatusCode == http.StatusTooManyRequests || a.StatusCode == http.StatusServiceUnavailable) {
		j.result.PauseUntil = a.Start.Add(a.Duration + hold)
	}
	return j
}

// follow draws the conclusions of an attempt that concern other messages: those that wait for an endpoint
// that is gone are dead, and those that wait behind a pause go back to their queue, where they take no room. What the queue has besides
// is held back, if it can do that: the schedule sees to it. It requires that mu is held.
func (d *Dispatcher) follow(now time.Time, dl *delivery, j judgement, change schedule.Change) {
	if j.outcome.State == Delivered {
		return
	}
	to, err := d.sender.urls.parse(dl.message.URL)
	if err != nil {
		return // can't be: it was parsed before
	}
	if j.verdict == Gone {
		for _, it := range d.schedule.TakeEndpoint(now, to.endpoint) {
			d.bury(it.Value.(*delivery), ErrGone)
		}
	}
	if dl.lease == nil {
		return
	}
	switch {
	case change.HostOpened:
		d.putBack(d.schedule.TakeHost(now, to.host), change.HostUntil)
	case change.EndpointOpened:
		d.putBack(d.schedule.TakeEndpoint(now, to.endpoint), change.EndpointUntil)
	case !j.result.PauseUntil.IsZero():
		d.putBack(d.schedule.TakeEndpoint(now, to.endpoint), j.result.PauseUntil)
	}
}

// evidence is what an attempt says of its endpoint and of its host. To the endpoint everything that isn't
// accepted is a failure. To the host only what speaks of the host is: no connection, no answer, or a
// gateway's word that there is nobody behind it. What went wrong on this side speaks of neither.
func evidence(a Attempt, v Verdict) (r schedule.Result) {
	untried := errors.Is(a.Err, ErrBlocked) || errors.Is(a.Err, ErrInvalid) || a.Err != nil && isLocal(a.Err)
	switch {
	case v == Accept:
		r.Endpoint = schedule.Success
	case !untried:
		r.Endpoint = schedule.Failure
	}
	switch {
	case a.StatusCode == 0 && errors.Is(a.Err, errStatus):
		r.Host = schedule.Success
	case a.StatusCode == 0 && untried:
		r.Host = schedule.Nothing
	case a.StatusCode == 0:
		r.Host = schedule.Failure
	case v == Accept:
		r.Host = schedule.Success
	case a.StatusCode == http.StatusBadGateway,
		a.StatusCode == http.StatusServiceUnavailable,
		a.StatusCode == http.StatusGatewayTimeout:
		r.Host = schedule.Failure
	default:
		r.Host = schedule.Success
	}
	r.Throttle = v == Throttle || a.StatusCode == 0 && a.Err != nil && isTimeout(a.Err)
	switch {
	case a.Err != nil:
		r.Err = a.Err
	case v != Accept:
		r.Err = answer(a.StatusCode)
	}
	return r
}

// answer is a status as an error.
type answer int

func (a answer) Error() string {
	return fmt.Sprintf("signpost: receiver answered %d %s", int(a), http.StatusText(int(a)))
}
