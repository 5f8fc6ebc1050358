package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A host with a hundred endpoints gets a message a millisecond, for one endpoint after the other. Ten of them hang, in
// runs of one to four neighbours: none of the others may wait for them, be it that the host is new or long known.
func TestHungEndpointsInARow(t *testing.T) {
	const (
		endpoints = 100
		answer    = 300 * time.Microsecond // so that the host is idle when the next message comes
		timeout   = 2 * time.Second
	)
	hangs := func(i int) bool {
		switch i % endpoints {
		case 5, 15, 16, 30, 31, 32, 60, 61, 62, 63:
			return true
		}
		return false
	}
	for name, from := range map[string]int{"from the start": 0, "half-way": 1000} {
		t.Run(name, func(t *testing.T) {
			s := newSchedule(Config{})
			var stuck []*Item // in flight at those that hang
			var since []time.Time
			for i := range 4000 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				for len(stuck) > 0 && now.Sub(since[0]) >= timeout {
					finish(s, now, stuck[:1], hung)
					stuck, since = stuck[1:], since[1:]
				}
				endpoint := fmt.Sprintf("h/%d", i%endpoints)
				s.Add(now, &Item{Value: i}, Arrival{Host: "h", Endpoint: endpoint, At: now, Deadline: now.Add(time.Hour)})
				served := false
				for it := s.Next(now); it != nil; it = s.Next(now) {
					if n := it.Value.(int); hangs(n) && n >= from {
						stuck, since = append(stuck, it), append(since, now)
					} else {
						served = served || n == i
						finish(s, now.Add(answer), []*Item{it}, good)
					}
				}
				if !hangs(i) && !assert.True(t, served, "message %d waits", i) {
					return
				}
			}
		})
	}
}
