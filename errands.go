package signpost

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost/internal/schedule"
)

const (
	maxErrands  = 16          // errand goroutines at most
	settleGrace = time.Second // for settling what ended as the dispatcher did
)

// An errand is what is to be done for a message that has no turn.
type errand struct {
	delivery *delivery
	outcome  Outcome
	observed bool // the outcome is reported already: only the lease is left to settle
}

// bury has the death of a message reported that is in no schedule any more. It requires that mu is held.
func (d *Dispatcher) bury(dl *delivery, reason error) {
	d.addErrand(errand{delivery: dl, outcome: Outcome{State: Dead, Reason: reason}})
}

// putBack has leases deferred until the given time. It requires that mu is held.
func (d *Dispatcher) putBack(items []*schedule.Item, until time.Time) {
	for _, it := range items {
		d.addErrand(errand{delivery: it.Value.(*delivery), outcome: Outcome{State: Deferred, RetryAt: until}})
	}
}

// addErrand requires that mu is held.
func (d *Dispatcher) addErrand(e errand) {
	d.open++
	d.errands = append(d.errands, e)
}

// count counts an ending. It requires that mu is held.
func (d *Dispatcher) count(s State) {
	switch s {
	case Delivered:
		d.stats.Delivered++
	case Dead:
		d.stats.Dead++
	}
}

// runErrands is an errand goroutine.
func (d *Dispatcher) runErrands() {
	defer d.wg.Done()
	done := false
	defer func() {
		if !done { // an observer has called runtime.Goexit
			d.panicked("a function that the dispatcher was given", "runtime.Goexit", nil)
			d.mu.Lock()
			d.open--
			d.running--
			d.unlock(time.Now())
		}
	}()
	for {
		d.mu.Lock()
		if len(d.errands) == 0 || d.ended {
			d.running--
			done = true
			d.mu.Unlock()
			return
		}
		e := d.errands[0]
		d.errands[0] = errand{}
		d.errands = d.errands[1:]
		if !e.observed {
			d.count(e.outcome.State)
		}
		d.mu.Unlock()

		if !e.observed {
			d.logOutcome(&e.delivery.message, e.outcome)
		}
		if e.delivery.lease != nil && !d.settleUntilDone(e) {
			continue // the dispatcher ends, and the lease goes back unsettled
		}
		if !e.observed {
			d.observe(&e.delivery.message, e.outcome)
		}

		d.mu.Lock()
		d.open--
		d.unlock(time.Now())
	}
}

// settle tells the queue what became of a leased message, and reports whether that is over and done with.
func (d *Dispatcher) settle(dl *delivery, o Outcome) bool {
	ctx := d.ctx
	if ctx.Err() != nil && o.Attempt.Number > 0 { // what the receiver has seen shouldn't be sent again for want of a moment
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), settleGrace)
		defer cancel()
	}
	err := dl.lease.Settle(ctx, o)
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrSettled), errors.Is(err, ErrLeaseLost):
		d.config.logger.Warn("signpost: lease is gone, the message may be delivered again", "id", dl.message.ID, "err", err)
		return true
	}
	d.config.logger.Error("signpost: queue does not settle, will try again", "id", dl.message.ID, "err", err)
	return false
}

// settleUntilDone settles an errand's lease, trying again for as long as it takes. It reports false if the
// dispatcher ended first.
func (d *Dispatcher) settleUntilDone(e errand) bool {
	for wait := queueBackOff(); !d.settle(e.delivery, e.outcome); {
		if !d.sleep(d.ctx, wait.NextBackOff()) {
			return false
		}
	}
	return true
}

// queueBackOff is how long to wait for a queue that returned an error.
func queueBackOff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(0))
}

// sleep reports whether it slept to the end.
func (d *Dispatcher) sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
