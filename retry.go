package signpost

import (
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A RetryPolicy says what becomes of a message after an attempt. Its zero value is the default policy. Its
// functions may be called from many goroutines at once.
type RetryPolicy struct {
	MaxAttempts   int                    // 0: 8
	MaxAge        time.Duration          // from CreatedAt; 0: 24 h; an older message is dead (ErrExpired)
	BackOff       func() backoff.BackOff // nil: 5 s, ×3, ±20 %, at most 1 h; a Stop means that the attempts are used up
	MaxRetryAfter time.Duration          // a longer Retry-After is cut to it; 0: 1 h
	Classify      func(Attempt) Verdict  // nil: Classify
}

// A Verdict is what an attempt means.
type Verdict uint8

// The verdicts on an attempt.
const (
	Accept   Verdict = iota + 1 // the message is delivered
	Retry                       // try again later
	Throttle                    // try again later, and send less: the receiver has too much to do
	Gone                        // the message is dead, and so is all that waits for the same endpoint
	Reject                      // the message is dead
)

func (v Verdict) String() string {
	switch v {
	case Accept:
		return "accept"
	case Retry:
		return "retry"
	case Throttle:
		return "throttle"
	case Gone:
		return "gone"
	case Reject:
		return "reject"
	}
	return "Verdict(" + strconv.Itoa(int(v)) + ")"
}

// Classify is the default verdict: any 2xx is accepted and 410 is gone; 429, 502, 503, 504 and timeouts
// throttle; an address that may not be dialled, a disabled endpoint and an invalid message are rejected.
// Everything else is retried: redirects, which are never followed, impossible status codes and every other
// transport error.
func Classify(a Attempt) Verdict {
	switch code := a.StatusCode; {
	case code >= 200 && code <= 299:
		return Accept
	case code == http.StatusGone:
		return Gone
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway,
		code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return Throttle
	case code != 0:
		return Retry
	case errors.Is(a.Err, ErrBlocked), errors.Is(a.Err, ErrDisabled), errors.Is(a.Err, ErrInvalid) && !isLocal(a.Err):
		return Reject
	case isTimeout(a.Err):
		return Throttle
	}
	return Retry
}

// Decide says what becomes of a message after attempt a: it is Delivered, Dead, or Retrying at a time that is
// counted from the attempt's end. It doesn't know of MaxAge, which concerns a message that waits. A
// [Dispatcher] does as Decide says; it is exported for callers of [Sender.Send] that have a job engine of
// their own.
func (p RetryPolicy) Decide(a Attempt) Outcome {
	p = p.withDefaults()
	o, _ := p.decide(a, p.verdict(a))
	return o
}

// withDefaults returns p with its zero fields filled in.
func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 8
	}
	if p.MaxAge == 0 {
		p.MaxAge = 24 * time.Hour
	}
	if p.BackOff == nil {
		p.BackOff = defaultBackOff
	}
	if p.MaxRetryAfter == 0 {
		p.MaxRetryAfter = time.Hour
	}
	if p.Classify == nil {
		p.Classify = Classify
	}
	return p
}

// verdict asks Classify, and takes an answer that is none for Retry.
func (p RetryPolicy) verdict(a Attempt) Verdict {
	if v := p.Classify(a); v >= Accept && v <= Reject {
		return v
	}
	return Retry
}

// decide requires that p has its defaults filled in. hold is how long the response asked not to be bothered,
// with jitter and within bounds.
func (p RetryPolicy) decide(a Attempt, v Verdict) (o Outcome, hold time.Duration) {
	o = Outcome{State: Dead, Attempt: a}
	if v == Accept {
		o.State = Delivered
		return o, 0
	}
	hold = min(a.RetryAfter, p.MaxRetryAfter)
	if spread := min(hold/10, p.MaxRetryAfter-hold); spread > 0 { // never earlier than asked, so the jitter comes after it
		hold += rand.N(spread)
	}
	switch {
	case v == Gone:
		o.Reason = ErrGone
	case v == Reject:
		o.Reason = rejection(a)
	case a.Number >= p.MaxAttempts:
		o.Reason = ErrExhausted
	default:
		wait := p.backOff(a.Number)
		if wait == backoff.Stop {
			o.Reason = ErrExhausted
			break
		}
		o.State = Retrying
		o.RetryAt = a.Start.Add(a.Duration).Add(max(wait, hold))
	}
	return o, hold
}

// rejection names the reason of a Reject.
func rejection(a Attempt) error {
	for _, reason := range [...]error{ErrBlocked, ErrDisabled} {
		if errors.Is(a.Err, reason) {
			return reason
		}
	}
	if errors.Is(a.Err, ErrInvalid) {
		return a.Err
	}
	return ErrRejected
}

// backOff is the wait after attempt n. It keeps no state, so that a message that comes back after a restart
// goes on where it was.
func (p RetryPolicy) backOff(n int) time.Duration {
	b := p.BackOff()
	b.Reset()
	wait := backoff.Stop
	for range max(1, n) {
		if wait = b.NextBackOff(); wait == backoff.Stop {
			return wait
		}
	}
	return max(0, wait)
}

// defaultBackOff is the exponential backoff of github.com/cenkalti/backoff, kept under its ceiling after the
// jitter too.
func defaultBackOff() backoff.BackOff {
	return ceiling{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Second),
		backoff.WithMultiplier(3),
		backoff.WithRandomizationFactor(0.2),
		backoff.WithMaxInterval(time.Hour),
		backoff.WithMaxElapsedTime(0),
	), time.Hour}
}

// ceiling keeps the waits of a backoff at most so long.
type ceiling struct {
	backoff.BackOff
	most time.Duration
}

func (c ceiling) NextBackOff() time.Duration { return min(c.most, c.BackOff.NextBackOff()) }

// StandardBackOff is the schedule of the Standard Webhooks specification 1.0.0: waits of 5 s, 5 min, 30 min,
// 2, 5, 10, 14, 20 and 24 hours, each ±20 %. It takes ten attempts and more than three days: set MaxAttempts
// and MaxAge to match.
func StandardBackOff() backoff.BackOff { return &standardBackOff{} }

type standardBackOff struct{ steps int }

func (b *standardBackOff) Reset() { b.steps = 0 }

func (b *standardBackOff) NextBackOff() time.Duration {
	waits := [...]time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
	if b.steps == len(waits) {
		return backoff.Stop
	}
	wait := waits[b.steps]
	b.steps++
	return wait*4/5 + rand.N(wait*2/5)
}

// parseRetryAfter reads a Retry-After header: seconds, or a date in any form of RFC 9110, section 5.6.7.
// Anything else, and what is past, is 0.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		const most = math.MaxInt64 / uint64(time.Second)
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || seconds > most {
			seconds = most // too large a number is a long time
		}
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
