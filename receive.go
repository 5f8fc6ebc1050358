package signpost

import (
	"math/rand/v2"
	"time"

	"golang.org/x/time/rate"
)

const (
	manyErrands      = 256             // errands not done that keep the receiver from taking more leases
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
	return !d.schedule.Full(int64(d.config.maxPayload)) && d.open < manyErrands
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
		until = d.schedule.Later(until, to.host).Add(rand.N(deferSpread))
		d.addErrand(errand{delivery: dl, outcome: Outcome{State: Deferred, RetryAt: until}})
	}
	d.unlock(now)
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
