package signpost

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost/internal/schedule"
)

const (
	maxErrands  = 128         // errand goroutines at most: a queue settles many leases at a time, with one wait for all
	settleGrace = time.Second // for settling what ended as the dispatcher did
	deferSpread = time.Second // over which a hundred messages that go back are spread, and fewer too
)

// An errand is what is to be done for a message that has no turn.
type errand struct {
	delivery *delivery
	outcome  Outcome
	observed bool // the outcome is reported already: only the lease is left to settle
}

// bury has the death of a message reported that has no turn. If it was in the schedule it keeps its room until
// then. It requires that mu is held.
func (d *Dispatcher) bury(dl *delivery, reason error) {
	d.addErrand(errand{delivery: dl, outcome: Outcome{State: Dead, Reason: reason}})
}

// putBack has leases deferred until the given time or, the more they are, some time later: they must not come back
// all at once. To a queue that can hold them back that is no matter. It requires that mu is held.
func (d *Dispatcher) putBack(items []*schedule.Item, until time.Time) {
	for _, it := range items {
		var later time.Duration
		if d.holder == nil {
			later = rand.N(deferSpread + time.Duration(len(items))*deferSpread/100)
		}
		d.addErrand(errand{delivery: it.Value.(*delivery), outcome: Outcome{State: Deferred, RetryAt: until.Add(later)}})
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
	for d.runErrand() {
	}
}

// runErrand does one errand, and reports whether there may be another one for this goroutine.
func (d *Dispatcher) runErrand() bool {
	d.mu.Lock()
	if len(d.errands) == 0 || d.ended {
		d.running--
		d.mu.Unlock()
		return false
	}
	e := d.errands[0]
	d.errands[0] = errand{}
	d.errands = d.errands[1:]
	if !e.observed {
		d.count(e.outcome.State)
		d.buried += e.inSchedule()
	}
	d.mu.Unlock()

	done := false
	defer func() {
		if !done { // an observer has called runtime.Goexit
			d.panicked("an observer", "runtime.Goexit", nil)
		}
		now := time.Now()
		d.mu.Lock()
		d.open--
		if !e.observed {
			d.buried -= e.inSchedule()
		}
		d.remove(now, e.delivery)
		if !done {
			d.running--
		}
		d.unlock(now)
	}()
	if !e.observed {
		d.logOutcome(&e.delivery.message, e.outcome)
	}
	// A lease that the dispatcher's end leaves unsettled goes back, and nobody hears of it.
	if e.delivery.lease == nil || d.settleUntilDone(e) {
		if !e.observed {
			d.observe(&e.delivery.message, e.outcome)
		}
	}
	done = true
	return true
}

// inSchedule is 1 if the errand's message still has its room in the schedule, and otherwise 0. It requires that mu
// is held.
func (e errand) inSchedule() int {
	if e.delivery.item.Held() {
		return 1
	}
	return 0
}

// settle tells the queue what became of a leased message, and reports whether that is over and done with.
func (d *Dispatcher) settle(dl *delivery, o Outcome) bool {
	// What the receiver has seen shouldn't be sent again for want of a moment, so this outlives the
	// dispatcher's end by a little.
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.ctx))
	defer cancel()
	defer context.AfterFunc(d.ctx, func() {
		d.sleep(ctx, settleGrace)
		cancel()
	})()
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
