package signpost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/signpost-go/signpost/internal/schedule"
)

// observe calls the observers.
func (d *Dispatcher) observe(m *Message, o Outcome) {
	for _, f := range d.config.observers {
		seen := *m // the dispatcher goes on counting attempts in its own
		d.guard("observer", func() { f(d.ctx, &seen, o) })
	}
}

// guard calls a user's function and reports whether it returned. A panic is logged and counted, and costs
// nothing else.
func (d *Dispatcher) guard(what string, f func()) (returned bool) {
	defer func() {
		if v := recover(); v != nil {
			d.panicked(what, v, debug.Stack())
		}
	}()
	f()
	return true
}

func (d *Dispatcher) panicked(what string, value any, stack []byte) {
	d.mu.Lock()
	d.stats.Panics++
	d.mu.Unlock()
	d.config.logger.Error("signpost: panic recovered", "in", what, "panic", shorten(redactText(fmt.Sprint(value), nil)), "stack", string(stack))
}

// logAttempt logs an attempt, what it led to, and the pauses that it brought.
func (d *Dispatcher) logAttempt(m *Message, a Attempt, j judgement, c schedule.Change) {
	var p *panicError
	if errors.As(a.Err, &p) {
		d.panicked("attempt", a.Err, p.stack) // its text is redacted
	}
	if d.config.logger.Enabled(context.Background(), slog.LevelDebug) {
		d.config.logger.Debug("signpost: attempt", append(attemptAttrs(m, a), "verdict", j.verdict.String())...)
	}
	if j.outcome.State == Delivered {
		return
	}
	url := redact(m.URL)
	if c.HostOpened {
		d.config.logger.Warn("signpost: host is paused",
			"url", url, "failures", c.HostFailures, "until", c.HostUntil, "err", j.result.Err)
	}
	if c.EndpointOpened {
		d.config.logger.Warn("signpost: endpoint is paused",
			"url", url, "failures", c.EndpointFailures, "until", c.EndpointUntil, "err", j.result.Err)
	}
	if !j.result.PauseUntil.IsZero() {
		d.config.logger.Warn("signpost: endpoint asks for a pause",
			"url", url, "status", a.StatusCode, "until", j.result.PauseUntil)
	}
	d.logOutcome(m, j.outcome)
}

// logOutcome logs a retry or a death.
func (d *Dispatcher) logOutcome(m *Message, o Outcome) {
	switch o.State {
	case Retrying:
		d.config.logger.Info("signpost: will retry", append(attemptAttrs(m, o.Attempt), "at", o.RetryAt)...)
	case Dead:
		d.config.logger.Error("signpost: message is dead", append(attemptAttrs(m, o.Attempt),
			"reason", o.Reason, "age", time.Since(m.CreatedAt).Round(time.Millisecond))...)
	case Deferred:
		d.config.logger.Debug("signpost: message goes back to its queue",
			"id", m.ID, "url", redact(m.URL), "until", o.RetryAt)
	}
}

func attemptAttrs(m *Message, a Attempt) []any {
	attrs := []any{"id", m.ID, "url", redact(m.URL)}
	if a.Number > 0 {
		attrs = append(attrs, "attempt", a.Number, "status", a.StatusCode, "duration", a.Duration)
	}
	if a.Err != nil {
		attrs = append(attrs, "err", a.Err)
	}
	return attrs
}
