package sqlite

import (
	"container/heap"
	"slices"
)

// A load is what is to be read of a line.
type load struct {
	line    *line
	strays  []position
	after   position
	next    int64 // when the first one after that is due
	through int64 // no message that is due later
	limit   int   // messages, and one more to know when that is due
}

// A reading is what was read for a load.
type reading struct {
	entries []*entry
	strays  []position // that were not
	size    int
	read    position // of the last one in order
	next    int64    // when the next one is due, or earlier
}

// startLoad takes a line out of the turns until endLoad or failLoad.
func (s *lines) startLoad(l *line, limit int, now int64) load {
	ld := load{line: l, after: l.read, next: l.next, through: now, limit: limit}
	s.ripen(l, now)
	for len(l.held) > 0 && len(ld.strays) < limit && (len(l.buffer) == 0 || l.held[0].number < l.buffer[0].number) {
		p := heap.Pop(&l.held).(position)
		if n := len(ld.strays); n == 0 || ld.strays[n-1].number != p.number {
			ld.strays = append(ld.strays, p)
		}
	}
	for len(l.buffer) == 0 && len(l.strays) > 0 && l.strays[0].due <= now && len(ld.strays) < limit {
		ld.strays = append(ld.strays, heap.Pop(&l.strays).(position))
	}
	if ld.limit -= len(ld.strays); l.next > now || len(l.buffer) > 0 {
		ld.limit = 0
	}
	l.loading = true
	s.place(l, now)
	return ld
}

// endLoad takes in what was read, and gives the first message, for it is still the line's turn; nil if there is none,
// or not now.
func (s *lines) endLoad(ld load, got reading, now int64) *entry {
	l := ld.line
	before := l.buffer // comes after the strays that were read
	l.buffer = nil
	for _, e := range got.entries {
		if s.mayTake(l, e.number) {
			s.take(e)
		}
	}
	l.buffer = append(l.buffer, before...)
	if s.heldTo(l) >= ld.through { // all that was read was due before the end of a hold
		slices.SortFunc(l.buffer, byAcceptance)
	}
	s.giveBack(l, got.strays)
	l.read, l.next, l.retryAt = got.read, got.next, 0
	s.stopLoad(l, now)
	if len(l.buffer) == 0 || s.heldTo(l) > now {
		return nil
	}
	return s.lease(l, now)
}

// failLoad leaves everything as it was before startLoad, and the line alone until the given time.
func (s *lines) failLoad(ld load, retryAt, now int64) {
	s.giveBack(ld.line, ld.strays)
	ld.line.retryAt = retryAt
	s.stopLoad(ld.line, now)
}

// mayTake reports whether what a load has read of a message still holds, and it isn't in memory. If it doesn't hold the message
// has ended, or is known as a stray again.
func (s *lines) mayTake(l *line, number int64) bool {
	return s.out[number] == nil && !slices.Contains(l.settled, number)
}

// giveBack returns strays to a line that were to be read and weren't.
func (s *lines) giveBack(l *line, strays []position) {
	for _, p := range strays {
		if s.mayTake(l, p.number) {
			heap.Push(&l.strays, p)
		}
	}
}

func (s *lines) stopLoad(l *line, now int64) {
	l.loading = false
	arrivals := l.arrivals
	l.arrivals, l.settled = nil, nil
	for _, p := range arrivals {
		s.put(l, p, now)
	}
	s.place(l, now)
}
