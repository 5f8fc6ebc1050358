// Package clock is the machine's monotonic clock: all processes of one machine read the same time from it, and nobody
// sets it.
package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// A Time is a point on CLOCK_MONOTONIC, in nanoseconds. 0 is no time.
type Time int64

// Now returns the time.
func Now() Time {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("clock: CLOCK_MONOTONIC: " + err.Error()) // every Linux has it
	}
	return Time(t.Nano())
}

// Add returns t and d later.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns how much later t is than u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Sleep returns at t.
func Sleep(t Time) { time.Sleep(t.Sub(Now())) }
