package receiver

import (
	"fmt"
	"slices"
	"sync"

	"github.com/signpost-go/signpost/bench/internal/clock"
)

// ledger holds when each message came first. It is safe for concurrent use.
type ledger struct {
	mu         sync.Mutex   // protects the following fields
	arrivals   []clock.Time // by number; 0: not yet
	arrived    int
	duplicates int
	faults     int
	fault      string // the first
	waiters    []waiter
}

// waiter is told when so many messages have arrived.
type waiter struct {
	count int
	done  chan struct{}
}

func newLedger(messages int) *ledger { return &ledger{arrivals: make([]clock.Time, messages)} }

// record notes a request for message n that came at t.
func (l *ledger) record(n int, t clock.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case n < 0 || n >= len(l.arrivals):
		l.refuse(fmt.Errorf("message %d came, and there are only %d", n, len(l.arrivals)))
	case l.arrivals[n] != 0:
		l.duplicates++
		l.arrivals[n] = min(l.arrivals[n], t)
	default:
		l.arrivals[n] = t
		l.arrived++
		l.waiters = slices.DeleteFunc(l.waiters, func(w waiter) bool {
			if w.count > l.arrived {
				return false
			}
			close(w.done)
			return true
		})
	}
}

// reject notes a request that must not have come.
func (l *ledger) reject(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse(err)
}

// refuse requires that mu is held.
func (l *ledger) refuse(err error) {
	if l.faults++; l.faults == 1 {
		l.fault = err.Error()
	}
}

// wait returns a channel that is closed once count messages have arrived.
func (l *ledger) wait(count int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := make(chan struct{})
	if l.arrived >= count {
		close(done)
	} else {
		l.waiters = append(l.waiters, waiter{count, done})
	}
	return done
}

// report fills in what the ledger holds.
func (l *ledger) report(r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults > 0 {
		return fmt.Errorf("receiver: %d requests that must not have come; the first: %s", l.faults, l.fault)
	}
	r.Arrivals = slices.Clone(l.arrivals)
	r.Arrived, r.Duplicates = l.arrived, l.duplicates
	return nil
}
