package signpost

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost/internal/schedule"
)

const (
	manyErrands      = 256             // errands not done that keep the receiver from taking more leases
	manyHeld         = 8192            // … from a HoldingQueue: what is put back there doesn't come again at once
	maxLeasedPayload = 1 << 30         // bytes; a queue may hold what was enqueued under a larger WithMaxPayload
	consumersEvery   = 3 * time.Second // how often a SharedQueue is asked for its consumers
)

// receive is the receiver's goroutine: it takes leases while there is room for them.
func (d *Dispatcher) receive() {
	wait := queueBackOff()
	for d.awaitRoom() {
		lease, err := d.config.queue.Receive(d.intake)
		switch {
		case d.intake.Err() != nil:
			return // a lease that came with the end goes back unsettled
		case err == nil && lease != nil:
			wait.Reset()
			d.accept(lease)
		default:
			d.config.logger.Error("signpost: queue does not give messages, will try again", "err", err)
			if !d.sleep(d.intake, wait.NextBackOff()) {
				return
			}
		}
	}
}

// awaitRoom reports whether there is room for a lease, now or after waiting; it reports false when intake has
// ended.
func (d *Dispatcher) awaitRoom() bool {
	d.mu.Lock()
	d.hungry = !d.mayReceive()
	hungry := d.hungry
	d.mu.Unlock()
	if !hungry {
		return d.intake.Err() == nil
	}
	select {
	case <-d.room:
		return true
	case <-d.intake.Done():
		return false
	}
}

// mayReceive requires that mu is held.
func (d *Dispatcher) mayReceive() bool {
	many := manyErrands
	if d.holder != nil {
		many = manyHeld
	}
	return !d.schedule.Full(int64(d.config.maxPayload)) && d.open < many && !d.telling
}

// accept takes a leased message into the schedule, or sees to what else must become of it.
func (d *Dispatcher) accept(lease Lease) {
	dl := &delivery{message: *lease.Message(), lease: lease} // a copy: the lease's own must not change
	m := &dl.message
	if m.CreatedAt.IsZero() {
		m.CreatedAt = time.Now()
	}
	to, err := d.sender.urls.parse(m.URL)
	if err == nil && m.ID == "" {
		err = invalid("ID: empty; a queue must keep it")
	}
	if err == nil {
		err = m.validate(int(min(d.config.queueBytes, maxLeasedPayload)))
	}
	now := time.Now()
	d.mu.Lock()
	switch {
	case d.closed: // it goes back unsettled
	case err != nil:
		d.bury(dl, err)
	case !d.deadline(now, m).After(now):
		d.bury(dl, ErrExpired)
	default:
		until, blocked := d.schedule.Blocked(now, to.host, to.endpoint)
		if !blocked && d.hasRoom(dl, to) {
			d.add(now, dl, to)
			break
		}
		if !blocked {
			until = now
		}
		d.addErrand(errand{delivery: dl, outcome: Outcome{State: Deferred, RetryAt: d.comesAgain(now, until, to)}})
	}
	d.unlock(now)
}

// comesAgain is when a message comes again that is refused until the given time at least. A queue that can hold back
// others like it is asked to; all that come nevertheless are spread. It requires that mu is held.
func (d *Dispatcher) comesAgain(now, until time.Time, to *destination) time.Time {
	if d.holder != nil {
		var again bool
		if until, again = d.schedule.HoldBack(now, to.host, to.endpoint); !again {
			return until
		}
	}
	return d.schedule.Later(until, to.host).Add(rand.N(deferSpread))
}

// tellHolds is the holder's goroutine: it tells the queue what to hold back, in the order in which that was decided.
// The receiver waits for it, so that it isn't given what was just refused.
func (d *Dispatcher) tellHolds() {
	defer d.wg.Done()
	defer func() { // even if the queue has called runtime.Goexit
		d.mu.Lock()
		d.telling = false
		d.unlock(time.Now())
	}()
	for {
		d.mu.Lock()
		h, ok := schedule.Hold{}, false
		if !d.ended {
			h, ok = d.schedule.TakeHold()
		}
		d.mu.Unlock()
		if !ok {
			return
		}
		d.tell(h)
	}
}

func (d *Dispatcher) tell(h schedule.Hold) {
	d.guard("the queue's Hold", func() { d.holder.Hold(h.Key, h.Until) })
}

// endHolds ends every hold: the queue may outlive the dispatcher, and what was held back for it mustn't wait any
// longer. It requires that no other goroutine is left.
func (d *Dispatcher) endHolds() {
	d.mu.Lock()
	d.schedule.EndHolds(time.Now())
	var holds []schedule.Hold
	for h, ok := d.schedule.TakeHold(); ok; h, ok = d.schedule.TakeHold() {
		holds = append(holds, h)
	}
	d.mu.Unlock()
	for _, h := range holds {
		d.tell(h)
	}
}

// share is the sharer's goroutine: it keeps this dispatcher's part of the per-host rate limit.
func (d *Dispatcher) share(q SharedQueue) {
	for {
		k, err := q.Consumers(d.ctx)
		switch {
		case err != nil && d.ctx.Err() == nil:
			d.config.logger.Warn("signpost: queue does not tell its consumers, the rate limit stays as it is", "err", err)
		case k > 0:
			d.mu.Lock()
			d.schedule.SetLimit(d.config.limit/rate.Limit(k), max(1, d.config.burst/k))
			d.mu.Unlock()
		}
		if !d.sleep(d.ctx, consumersEvery) {
			return
		}
	}
}
