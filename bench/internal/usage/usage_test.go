package usage_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/usage"
)

func TestCPU(t *testing.T) {
	before := usage.Own()
	for usage.Own().Sub(before).Total() < 30*time.Millisecond { // which takes CPU time
	}
	taken := usage.Own().Sub(before)
	assert.GreaterOrEqual(t, taken.Total(), 30*time.Millisecond)
	assert.Equal(t, taken.User+taken.System, taken.Total())

	own := usage.Own().Total()
	counted, err := usage.Of(os.Getpid())
	require.NoError(t, err)
	assert.InDelta(t, own, counted, float64(time.Second), "both count the same")
}

func TestOfAProcessThatIsNotThere(t *testing.T) {
	_, err := usage.Of(-1)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestPeakMemory(t *testing.T) {
	before, err := usage.PeakMemory()
	require.NoError(t, err)
	assert.Positive(t, before)
	used := make([]byte, 64<<20)
	for i := range used {
		used[i] = 1
	}
	after, err := usage.PeakMemory()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after, int64(len(used)))
}
