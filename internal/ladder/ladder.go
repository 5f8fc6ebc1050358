// Package ladder has the fixed steps in which a broker delays messages. A queue that lets all of its messages wait equally
// long keeps them in the order in which they are due; one for every wait would not, and a long wait at its head would
// hold up the short ones behind it. So a message waits in the largest step that fits, and hops until it is due.
package ladder

import (
	"strconv"
	"time"
)

// Steps returns the steps that signpost's queues have at a broker, ascending.
func Steps() []time.Duration {
	return []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour}
}

// Step returns the index of the largest of steps, which ascend, that is no longer than wait. It is false if wait is shorter
// than all of them.
func Step(steps []time.Duration, wait time.Duration) (i int, ok bool) {
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i] <= wait {
			return i, true
		}
	}
	return 0, false
}

// Name returns d as names of queues and topics have it: a whole number of the largest unit, as in "10m".
func Name(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d >= u.size && d%u.size == 0 {
			return strconv.FormatInt(int64(d/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
