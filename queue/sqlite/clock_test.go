package sqlite

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wall := time.Now().UnixMilli()
		for _, tt := range []struct {
			name string
			seen int64
			base int64
		}{
			{name: "new file", seen: 0, base: wall},
			{name: "earlier run", seen: wall - 1000, base: wall},
			{name: "set back by a day", seen: wall + 86_400_000, base: wall + 86_400_000},
			{name: "nonsense", seen: math.MaxInt64, base: wall},
			{name: "negative nonsense", seen: math.MinInt64 / 1_000_000, base: wall},
		} {
			c := newClock(tt.seen)
			assert.Equal(t, tt.base, c.now(), tt.name)
			now := time.Now()
			assert.Equal(t, tt.base, c.at(now))
			assert.Equal(t, tt.base+1, c.at(now.Add(time.Nanosecond)), "rounded up")
			assert.Equal(t, tt.base+1, c.at(now.Add(time.Millisecond)))
			assert.Equal(t, tt.base+3_600_000, c.at(now.Add(time.Hour)), "an hour is an hour")
			assert.Equal(t, now.Add(time.Hour).UnixMilli(), c.time(tt.base+3_600_000).UnixMilli())
			for _, far := range []time.Time{now.AddDate(130, 0, 0), now.AddDate(400, 0, 0), time.Date(9999, 12, 31, 23, 59, 59, 999, time.UTC)} {
				assert.EqualValues(t, farthest, c.at(far))
			}
			assert.Equal(t, 9999, c.time(farthest).UTC().Year())
			assert.Less(t, c.at(time.Time{}), tt.base)
			assert.Less(t, c.at(now.AddDate(-1000, 0, 0)), tt.base)
		}
		c := newClock(0)
		time.Sleep(1500 * time.Microsecond)
		assert.Equal(t, wall+1, c.now(), "rounded down")
	})
}
