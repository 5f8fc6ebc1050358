package limits_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/limits"
)

// How much hosts receive depends on the machine's speed, but it is never much more than allowed: what was late to arrive first
// makes room for one or two.
func TestEveryHost(t *testing.T) {
	l, err := limits.EveryHost(t.Context(), 20, time.Second)
	require.NoError(t, err)
	assert.Equal(t, 20, l.Hosts)
	assert.InDelta(t, 20, l.Allowed, 0)
	assert.Greater(t, l.Offered, l.Allowed)
	assert.Positive(t, l.Min)
	assert.LessOrEqual(t, l.Min, l.Max)
	assert.Zero(t, l.Beside.Healthy)
}

func TestFlood(t *testing.T) {
	l, err := limits.Flood(t.Context(), time.Second)
	require.NoError(t, err)
	assert.Positive(t, l.Min)
	assert.Equal(t, 99*5, l.Beside.Healthy)
	assert.LessOrEqual(t, l.Beside.Arrived+l.Beside.Refused, l.Beside.Healthy)
}
