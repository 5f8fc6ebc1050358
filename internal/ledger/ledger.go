// Package ledger keeps the books of a test: what a dispatcher accepted, every attempt that it began, every request that
// arrived, and how every message ended. In the end they must balance, whatever went wrong on the way.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/signpost-go/signpost"
)

// A Ledger holds signpost to its promise:
//
//   - what was accepted has ended exactly once, delivered or dead, or was handed back; and nothing else has;
//   - no attempt begins after an ending, or while the message is handed back;
//   - no attempt begins earlier than the observer was told, or than a Retry-After asked;
//   - attempts are numbered from 1 without gaps;
//   - what is delivered was taken by a receiver, if receivers enter what arrives;
//   - every request that arrives is signed as it must be, and was an attempt: net/http repeats none on its own.
//
// Its methods are safe for concurrent use.
type Ledger struct {
	// MaxRetryAfter is the longest Retry-After that the dispatcher is held to. New sets it to RetryPolicy's default; it
	// must not be changed once messages are sent.
	MaxRetryAfter time.Duration

	verifier *signpost.Verifier

	mu       sync.Mutex // protects the following fields
	entries  map[string]*entry
	balance  Balance
	problems []string
	arrivals bool // receivers enter what arrives
}

// An entry is what is known of one message.
type entry struct {
	accepted   int // times: by Send, and again after it was handed back
	handedBack int
	away       bool // handed back, and not accepted again
	outcomes   []signpost.Outcome
	ended      time.Time // zero: not yet
	last       time.Time // when the last outcome was observed
	notBefore  time.Time // of the next attempt
	begun      int       // attempts that reached the transport
	arrived    int       // requests at receivers
	handled    int       // … that a receiver took for delivered
}

// New returns a Ledger for messages that are signed with one of the keys.
func New(keys ...signpost.VerificationKey) *Ledger {
	v, err := signpost.NewVerifier(keys...)
	if err != nil {
		panic(err)
	}
	return &Ledger{MaxRetryAfter: time.Hour, verifier: v, entries: make(map[string]*entry)}
}

// Options are what a dispatcher needs so that its attempts and outcomes are entered.
func (l *Ledger) Options() []signpost.Option {
	return []signpost.Option{signpost.WithTransport(l.Transport), signpost.WithObserver(l.Observe)}
}

// Accept enters that a message was accepted.
func (l *Ledger) Accept(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id)
	if e.accepted++; e.accepted == 1 {
		l.balance.Messages++
	}
}

// HandBack enters what Shutdown or Close returned, and returns the messages that are handed back.
func (l *Ledger) HandBack(err error) []*signpost.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		return nil
	}
	var undelivered *signpost.UndeliveredError
	if !errors.As(err, &undelivered) {
		l.problem("Shutdown: %v", err)
		return nil
	}
	for _, m := range undelivered.Messages {
		e := l.entry(m.ID)
		e.handedBack++
		if e.away {
			l.problem("message %s is handed back twice", m.ID)
		} else {
			e.away = true
			l.balance.HandedBack++
		}
		if !e.ended.IsZero() {
			l.problem("message %s is handed back after it has ended", m.ID)
		}
	}
	return undelivered.Messages
}

// Again enters that a message that was handed back is about to be enqueued again.
func (l *Ledger) Again(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id)
	if e.accepted++; e.accepted == 1 {
		l.balance.Messages++
	}
	if e.away {
		e.away = false
		l.balance.HandedBack--
	}
	e.notBefore = time.Time{} // a dispatcher doesn't know of another one's waits
}

// Observe is an observer.
func (l *Ledger) Observe(_ context.Context, m *signpost.Message, o signpost.Outcome) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(m.ID)
	if n := o.Attempt.Number; n > 0 {
		if n != m.Attempts {
			l.problem("message %s: outcome of attempt %d after %d attempts", m.ID, n, m.Attempts)
		}
		for i := len(e.outcomes) - 1; i >= 0; i-- {
			if before := e.outcomes[i].Attempt.Number; before > 0 {
				if n != before+1 {
					l.problem("message %s: attempt %d follows attempt %d", m.ID, n, before)
				}
				break
			}
		}
	}
	if !e.ended.IsZero() {
		l.problem("message %s: %v after it has ended", m.ID, o.State)
	}
	if e.away {
		l.problem("message %s: %v while it is handed back", m.ID, o.State)
	}
	switch o.State {
	case signpost.Delivered:
		if e.ended.IsZero() {
			l.balance.Delivered++
		}
		e.ended = now
	case signpost.Dead:
		if e.ended.IsZero() {
			l.balance.Dead++
		}
		e.ended = now
		if o.Reason == nil {
			l.problem("message %s is dead without a reason", m.ID)
		}
	case signpost.Retrying:
		if o.RetryAt.After(e.notBefore) {
			e.notBefore = o.RetryAt
		}
	}
	e.outcomes = append(e.outcomes, o)
	e.last = now
}

func (l *Ledger) begin(id string) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id)
	e.begun++
	l.balance.Attempts++
	switch {
	case !e.ended.IsZero():
		l.problem("message %s: an attempt begins after it has ended", id)
	case e.away:
		l.problem("message %s: an attempt begins while it is handed back", id)
	case now.Before(e.notBefore):
		l.problem("message %s: an attempt begins %v too early", id, e.notBefore.Sub(now))
	}
}

// answer enters what a response asks for.
func (l *Ledger) answer(id string, resp *http.Response) {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return
	}
	now := time.Now()
	wait := retryAfter(resp.Header.Get("Retry-After"), now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := now.Add(min(wait, l.MaxRetryAfter)); wait > 0 && t.After(l.entry(id).notBefore) {
		l.entry(id).notBefore = t
	}
}

// retryAfter is how long a Retry-After asks to wait, as far as it can be believed.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(0, int64(seconds)), int64(math.MaxInt64/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return date.Sub(now)
	}
	return 0
}

// Arrive enters a request that has come to a receiver as a whole. It reports whether the request is signed as it must be.
func (l *Ledger) Arrive(h http.Header, body []byte) bool {
	err := l.verifier.Verify(h, body)
	l.Arrived(h.Get("Webhook-Id"), err)
	return err == nil
}

// Arrived is Arrive for a request that somebody else has verified, with this result. It returns how many requests of
// the message have arrived.
func (l *Ledger) Arrived(id string, err error) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals = true
	if err != nil {
		l.problem("request of message %q doesn't verify: %v", id, err)
		return 0
	}
	e := l.entry(id)
	l.balance.Requests++
	if e.arrived++; e.arrived > e.begun {
		l.problem("message %s: %d requests have arrived of %d attempts: one was repeated below signpost", id, e.arrived, e.begun)
	}
	return e.arrived
}

// Handle enters that a receiver has taken a message for delivered, whether its answer arrives or not.
func (l *Ledger) Handle(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id)
	if e.handled++; e.handled > 1 {
		l.balance.Duplicates++
	}
}

// Of returns a message's outcomes so far.
func (l *Ledger) Of(id string) []signpost.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]signpost.Outcome(nil), l.entry(id).outcomes...)
}

// Last returns a message's last outcome; its State is 0 if there is none.
func (l *Ledger) Last(id string) signpost.Outcome {
	if os := l.Of(id); len(os) > 0 {
		return os[len(os)-1]
	}
	return signpost.Outcome{}
}

// A Balance is what a ledger adds up to.
type Balance struct {
	Messages   int // accepted
	Delivered  int
	Dead       int
	HandedBack int // and not accepted again
	Attempts   int // that reached the transport
	Requests   int // that arrived
	Duplicates int // requests beyond the first that a receiver took for delivered
}

// Balance adds up what was entered so far, what is forgotten included.
func (l *Ledger) Balance() Balance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.balance
}

// Forget drops every message that balances and had its last outcome at least so long ago. Nothing may happen to it any
// more: if something does, it is a message that was never accepted.
func (l *Ledger) Forget(age time.Duration) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.entries {
		if !e.ended.IsZero() && now.Sub(e.last) >= age && l.imbalance(id, e) == "" {
			delete(l.entries, id)
		}
	}
	if len(l.entries) == 0 {
		l.entries = make(map[string]*entry) // a map that was large stays so
	}
}

// Problems returns what doesn't balance, once every dispatcher has ended.
func (l *Ledger) Problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	problems := append([]string(nil), l.problems...)
	for id, e := range l.entries {
		if p := l.imbalance(id, e); p != "" {
			problems = append(problems, p)
		}
	}
	return problems
}

// imbalance is what is wrong with a message if nothing happens to it any more; empty: nothing. It requires that mu is
// held.
func (l *Ledger) imbalance(id string, e *entry) string {
	switch {
	case e.accepted == 0:
		return fmt.Sprintf("message %s was never accepted: %+v", id, e.outcomes)
	case e.ended.IsZero() && !e.away:
		return fmt.Sprintf("message %s is lost after %d attempts: %+v", id, e.begun, e.outcomes)
	case e.accepted != e.handedBack+1-btoi(e.away):
		return fmt.Sprintf("message %s: accepted %d times, handed back %d times", id, e.accepted, e.handedBack)
	case e.isDelivered() && e.begun == 0:
		return fmt.Sprintf("message %s is delivered without an attempt", id)
	case e.isDelivered() && e.handled == 0 && l.arrivals:
		return fmt.Sprintf("message %s is delivered, but no receiver has it", id)
	}
	return ""
}

func (e *entry) isDelivered() bool {
	return !e.ended.IsZero() && e.outcomes[len(e.outcomes)-1].State == signpost.Delivered
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Check fails the test unless the books balance, once every dispatcher has ended.
func (l *Ledger) Check(t testing.TB) {
	t.Helper()
	problems := l.Problems()
	for i, p := range problems {
		if i == 20 {
			t.Errorf("ledger: … and %d more", len(problems)-i)
			break
		}
		t.Errorf("ledger: %s", p)
	}
}

func (l *Ledger) entry(id string) *entry {
	e := l.entries[id]
	if e == nil {
		e = &entry{}
		l.entries[id] = e
	}
	return e
}

func (l *Ledger) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}
