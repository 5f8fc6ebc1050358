package schedule

import "time"

const (
	hostWindow     = 4 // a host's first window
	endpointWindow = 1 // an endpoint's first window

	breakerThreshold = 5 // failures in a row that open a breaker

	firstProbe = time.Second     // the first wait of an open breaker
	maxProbe   = 5 * time.Minute // and the longest
)

// A gate decides whether a host or an endpoint may have one more attempt in flight. It is a window, which
// grows with success and shrinks with congestion; a circuit breaker; and a pause that the receiver asked for.
//
// What happened before what is told by the schedule's sequence numbers, not by the clock: two events may
// share an instant.
type gate struct {
	inFlight int
	window   int  // most attempts in flight
	failures int  // in a row
	proven   bool // has succeeded since it is known
	cut      int64
	opened   int64         // when the breaker last opened or a probe failed
	probe    time.Duration // the breaker's present interval, 0 while it is closed
	closedTo int64         // no attempt before this time, by the breaker
	pausedTo int64         // no attempt before this time, by the receiver's wish
	failedAt int64         // when the last failure was
}

// failing holds from the second failure in a row, or the first if there was never a success: one lost
// request must not cost a good receiver its window.
func (g *gate) failing() bool { return g.failures >= 2 || g.failures == 1 && !g.proven }

// blockedTo is the time before which no attempt may be made.
func (g *gate) blockedTo() int64 { return max(g.closedTo, g.pausedTo) }

// half is how many attempts the failing ones behind this gate may have in flight together.
func (g *gate) half() int { return max(1, g.window/2) }

// success records a success. used tells whether its attempt found the window in use: one that isn't used must not
// grow (RFC 7661), or a receiver that goes bad could suddenly hold many workers.
func (g *gate) success(used bool, largest int) {
	g.failures, g.proven = 0, true
	g.probe, g.closedTo = 0, 0
	if used && g.window < largest {
		g.window++
	}
}

// failure records a failure, at time now and sequence number seq, of an attempt that began with the sequence
// number began. It reports whether the breaker opened, anew or for a longer time.
func (g *gate) failure(now, seq, began int64, throttle bool) (opened bool) {
	g.failures++
	g.failedAt = now
	if throttle && began > g.cut { // once a round, as TCP halves its window (RFC 5681)
		g.window = max(1, g.window/2)
		g.cut = seq
	}
	if g.failing() {
		g.window = 1
	}
	switch {
	case g.failures < breakerThreshold:
		return false
	case g.probe == 0:
		g.probe = firstProbe
	case began > g.opened: // a probe; what was in flight when the breaker opened proves nothing new
		g.probe = min(2*g.probe, maxProbe)
	default:
		return false
	}
	g.opened = seq
	g.closedTo = now + int64(g.probe)
	return true
}

// inconclusive records an attempt that says nothing of the receiver. If it was a probe, the next one waits as
// long again.
func (g *gate) inconclusive(now, seq, began int64) {
	if g.probe > 0 && began > g.opened {
		g.opened = seq
		g.closedTo = now + int64(g.probe)
	}
}

// pause holds the gate until the given time, and never shortens a longer hold.
func (g *gate) pause(until int64) { g.pausedTo = max(g.pausedTo, until) }

// memory is the time until which the gate has something to remember although nothing uses it. Failures count
// for as long as the longest probe interval: a breaker that nobody tried for that long counts as closed.
func (g *gate) memory() int64 {
	t := g.blockedTo()
	if g.failures > 0 {
		t = max(t, max(g.closedTo, g.failedAt)+int64(maxProbe))
	}
	return t
}
