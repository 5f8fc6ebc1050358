package signpost

import (
	"log/slog"
	"time"

	"github.com/signpost-go/signpost/internal/schedule"
)

// A worker is where an idle worker goroutine waits for its next turn.
type worker struct {
	turn    chan *delivery // holds one, so that handing over never blocks; nil: go
	since   time.Time      // idle since
	outcome Outcome        // of its turn; its State is 0 until it is reported. Only the worker's goroutine touches it
	watch   stopwatch      // of its attempts. Likewise
}

// work is a worker's goroutine.
func (d *Dispatcher) work(w *worker, dl *delivery) {
	defer d.wg.Done()
	w.watch.parent = d.ctx
	defer w.watch.end()
	defer func() {
		if dl != nil { // a user's function has called runtime.Goexit, as t.FailNow does
			d.abandon(w, dl)
		}
	}()
	for dl != nil {
		dl = d.deliver(w, dl)
	}
}

// deliver makes one attempt, does what it calls for, and returns the worker's next turn: nil if it must go.
func (d *Dispatcher) deliver(w *worker, dl *delivery) (next *delivery) {
	w.outcome = Outcome{} // before anything of a user's is called, which may end this goroutine
	if d.isLost(dl) {
		now := time.Now()
		d.mu.Lock()
		d.remove(now, dl)
		return d.nextTurn(w, now)
	}
	m := &dl.message
	var a Attempt
	if to, err := d.sender.urls.parse(m.URL); err == nil && d.ctx.Err() == nil {
		now := time.Now()
		a = d.sender.attempt(w.watch.start(now, d.config.timeout), now, m, to)
		w.watch.stop()
	}
	if a.StatusCode == 0 && d.ctx.Err() != nil {
		d.mu.Lock()
		d.schedule.Remove(time.Now(), &dl.item)
		d.left = append(d.left, dl)
		d.mu.Unlock()
		return nil
	}
	j := d.judge(a)
	m.Attempts += j.attempts
	silent := d.isSilent(dl, a, j)

	now := time.Now()
	d.mu.Lock()
	w.outcome = j.outcome
	change := d.report(now, dl, j)
	d.follow(now, dl, j, change)
	settled := true
	if !silent {
		d.unlock(now)
		// What the attempt has shown counts from here on; the turn lasts until the queue and the observers know.
		d.logAttempt(m, a, j, change)
		settled = dl.lease == nil || d.settle(dl, j.outcome)
		d.observe(m, j.outcome)
		now = time.Now()
		d.mu.Lock()
	}
	d.endTurn(now, dl, j.outcome, settled)
	return d.nextTurn(w, now)
}

// isLost reports whether somebody else has dl's message by now, so that an attempt would be one too many.
func (d *Dispatcher) isLost(dl *delivery) (lost bool) {
	if l, ok := dl.lease.(RevocableLease); ok {
		d.guard("a lease's Lost", func() { lost = l.Lost() })
	}
	if lost {
		d.config.logger.Debug("signpost: lease is lost, no attempt is made", "id", dl.message.ID)
	}
	return lost
}

// nextTurn returns the worker's next turn, as soon as there is one: nil if it must go. It requires that mu is held, and unlocks it.
func (d *Dispatcher) nextTurn(w *worker, now time.Time) (next *delivery) {
	if next = d.turn(now); next == nil && !d.ended {
		w.since = now
		d.idle = append(d.idle, w)
		d.unlock(now)
		return <-w.turn
	}
	d.unlock(now)
	return next
}

// isSilent reports whether nobody is to be told of an attempt: then one section under the lock does.
func (d *Dispatcher) isSilent(dl *delivery, a Attempt, j judgement) bool {
	return j.outcome.State == Delivered && a.Err == nil && dl.lease == nil && len(d.config.observers) == 0 &&
		!d.config.logger.Enabled(d.ctx, slog.LevelDebug)
}

// report tells the schedule and the counters what an attempt has shown. It requires that mu is held.
func (d *Dispatcher) report(now time.Time, dl *delivery, j judgement) schedule.Change {
	d.stats.Attempts += uint64(j.attempts)
	if dl.message.Attempts > 1 {
		d.stats.Retries += uint64(j.attempts)
	}
	if dl.waitsHere(j.outcome) {
		d.retold++
	} else {
		d.told++
		d.count(j.outcome.State)
	}
	d.roomier = true // who no longer fails may have more room
	return d.schedule.Report(now, &dl.item, j.result)
}

// endTurn ends a turn whose outcome was reported. It requires that mu is held.
func (d *Dispatcher) endTurn(now time.Time, dl *delivery, o Outcome, settled bool) {
	if dl.waitsHere(o) {
		d.retold--
		d.schedule.Retry(now, &dl.item, o.RetryAt)
	} else {
		d.told--
		d.remove(now, dl)
	}
	if !settled {
		d.addErrand(errand{dl, o, true})
	}
}

// remove takes a message that has ended out of the schedule, if it is there. It requires that mu is held.
func (d *Dispatcher) remove(now time.Time, dl *delivery) {
	d.schedule.Remove(now, &dl.item)
	d.roomier = true
}

// waitsHere tells whether a message with outcome o waits in the schedule: a leased one waits in its queue.
func (dl *delivery) waitsHere(o Outcome) bool { return o.State == Retrying && dl.lease == nil }

// abandon ends the turn of a worker whose goroutine ends in the middle of it. A message without an outcome is
// treated as after an attempt that failed on this side.
func (d *Dispatcher) abandon(w *worker, dl *delivery) {
	d.panicked("a function that the dispatcher was given", "runtime.Goexit", nil)
	now := time.Now()
	d.mu.Lock()
	if w.outcome.State == 0 {
		dl.message.Attempts++
		j := judgement{attempts: 1}
		policy := RetryPolicy{MaxAttempts: d.config.policy.MaxAttempts}.withDefaults()
		j.outcome, _ = policy.decide(Attempt{Number: dl.message.Attempts, Start: now}, Retry)
		w.outcome = j.outcome
		d.report(now, dl, j)
	}
	d.endTurn(now, dl, w.outcome, dl.lease == nil)
	d.unlock(now)
}
