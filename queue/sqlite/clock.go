package sqlite

import (
	"math"
	"time"
)

// A clock gives the queue's time, in milliseconds since 1970: the wall clock's, but one that never goes back, neither
// while the queue is open nor from one run to the next. A message that is due in an hour when the wall clock is set
// back by a day is due in an hour all the same.
type clock struct {
	opened time.Time // with its monotonic reading
	base   time.Duration
}

const (
	lastSeen = 150 * 365 * 24 * time.Hour                     // since 1970; a file that has seen a later time is not believed
	farAway  = math.MaxInt64 - lastSeen - 20*365*24*time.Hour // from now; a sum with it doesn't overflow
	farthest = 253402300799999                                // the end of the year 9999
)

// newClock returns a clock that goes on from the latest time that the queue has seen.
func newClock(seen int64) clock {
	now := time.Now()
	base := time.Duration(now.UnixNano())
	if seen <= lastSeen.Milliseconds() {
		base = max(base, time.Duration(seen)*time.Millisecond)
	}
	return clock{opened: now, base: base}
}

// now is rounded down, so that nothing is due early.
func (c clock) now() int64 {
	return int64((c.base + time.Since(c.opened)) / time.Millisecond)
}

// at translates a time, rounded up. What is more than a hundred years away is at the end of time.
func (c clock) at(t time.Time) int64 {
	d := t.Sub(c.opened)
	if d > farAway {
		return farthest
	}
	return int64((c.base + d + time.Millisecond - 1) / time.Millisecond)
}

// time translates back, for people: if the wall clock was set back, the result says how long it is from now.
func (c clock) time(ms int64) time.Time {
	if ms >= farAway.Milliseconds() {
		return time.UnixMilli(ms)
	}
	return c.opened.Add(time.Duration(ms)*time.Millisecond - c.base).Round(0)
}
