package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// A ledger keeps what became of every message.
type ledger struct {
	mu      sync.Mutex // protects the following fields
	entries map[string]*entry
}

// An entry is a message by its ID.
type entry struct {
	id       string
	to       *receiver
	sentAt   time.Time
	attempts int
	state    signpost.State // zero: no outcome yet
	reason   error
}

func newLedger() *ledger { return &ledger{entries: make(map[string]*entry)} }

// sent enters a message. It is called before the message is queued: the first outcome may come at once.
func (l *ledger) sent(m *signpost.Message, to *receiver) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[m.ID] = &entry{id: m.ID, to: to, sentAt: m.CreatedAt}
}

// observe is the dispatcher's observer.
func (l *ledger) observe(_ context.Context, m *signpost.Message, o signpost.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[m.ID]
	e.attempts, e.state, e.reason = m.Attempts, o.State, o.Reason
}

// A row is what became of one receiver's messages.
type row struct {
	name, host string
	reasons    []error // with which the messages should be dead; none: they should be delivered

	sent, delivered, attempts, dead int
	right                           int             // messages that ended as they should
	delays                          []time.Duration // from Send to arrival, ascending
	deaths                          map[error]int   // by reason
}

// rows sums up the ledger, a row for each receiver.
func (l *ledger) rows(receivers []*receiver) []*row {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := make([]*row, len(receivers))
	for i, r := range receivers {
		rows[i] = &row{name: r.name, host: r.host, reasons: r.reasons, deaths: make(map[error]int)}
		for _, e := range l.entries {
			if e.to == r {
				rows[i].add(e)
			}
		}
		slices.Sort(rows[i].delays)
	}
	return rows
}

func (r *row) add(e *entry) {
	r.sent++
	r.attempts += e.attempts
	first, arrived := e.to.arrival(e.id)
	if arrived {
		r.delays = append(r.delays, first.Sub(e.sentAt))
	}
	switch e.state {
	case signpost.Delivered:
		r.delivered++
		if arrived && len(r.reasons) == 0 {
			r.right++
		}
	case signpost.Dead:
		r.dead++
		r.deaths[e.reason]++
		if slices.ContainsFunc(r.reasons, func(reason error) bool { return errors.Is(e.reason, reason) }) {
			r.right++
		}
	}
}

// percentile returns the p-th percentile of the delays by nearest rank, for p from 1 to 100; 0 if nothing has
// arrived.
func (r *row) percentile(p float64) time.Duration {
	if len(r.delays) == 0 {
		return 0
	}
	return r.delays[int(math.Ceil(p/100*float64(len(r.delays))))-1]
}
