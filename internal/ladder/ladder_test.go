package ladder

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestStep(t *testing.T) {
	for _, c := range []struct {
		wait time.Duration
		step string
	}{
		{-time.Hour, ""}, {0, ""}, {time.Second - 1, ""}, {time.Second, "1s"}, {9999 * time.Millisecond, "1s"}, {10 * time.Second, "10s"},
		{59 * time.Second, "10s"}, {time.Minute, "1m"}, {90 * time.Minute, "1h"}, {6 * time.Hour, "6h"}, {24 * 365 * time.Hour, "6h"},
	} {
		i, ok := Step(Steps(), c.wait)
		assert.Equal(t, c.step != "", ok, c.wait)
		if ok {
			assert.Equal(t, c.step, Name(Steps()[i]), c.wait)
		}
	}
}

// Whatever the wait: as long as a step is no longer than what is left, hops end before the time, by less than the smallest step.
func TestHopsAreNeverLate(t *testing.T) {
	for wait := time.Duration(0); wait < 30*time.Hour; wait += 997 * time.Millisecond {
		left, hops := wait, 0
		for {
			i, ok := Step(Steps(), left)
			if !ok {
				break
			}
			left -= Steps()[i]
			hops++
		}
		assert.True(t, left >= 0 && left < time.Second, wait)
		assert.LessOrEqual(t, hops, 4+5+5+5+9+9, wait)
	}
}

func TestName(t *testing.T) {
	for d, name := range map[time.Duration]string{
		time.Second: "1s", 10 * time.Second: "10s", time.Minute: "1m", 90 * time.Second: "90s", 90 * time.Minute: "90m", 6 * time.Hour: "6h",
		20 * time.Millisecond: "20ms", 1500 * time.Millisecond: "1500ms",
	} {
		assert.Equal(t, name, Name(d))
	}
}
