package limits

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost/bench/internal/clock"
)

func TestWithin(t *testing.T) {
	const s = clock.Time(time.Second)
	assert.Zero(t, within(nil, time.Second))
	assert.Equal(t, 3, within([]clock.Time{9 * s, 5 * s, 6 * s, 8*s - 1, 8*s + 1}, 3*time.Second))
	assert.Equal(t, 4, within([]clock.Time{5 * s, 6 * s, 7 * s, 8 * s}, 3*time.Second))
}

func TestMixSpreadsTheOthersEvenly(t *testing.T) {
	for _, c := range []struct{ flood, others int }{{1000, 99}, {3, 3}, {10, 1}} {
		order := mix(c.flood, c.others)
		assert.Len(t, order, c.flood+c.others)
		last := -1
		for target := 1; target <= c.others; target++ {
			at := slices.Index(order, target)
			assert.LessOrEqual(t, at-last, c.flood/c.others+2, "target %d", target)
			last = at
		}
	}
}
