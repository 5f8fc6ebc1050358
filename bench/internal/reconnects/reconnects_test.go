package reconnects_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/reconnects"
)

func TestRun(t *testing.T) {
	const pairs = 2
	measured, err := reconnects.Run(t.Context(), 20, pairs)
	require.NoError(t, err)
	require.Len(t, measured, 2)
	for _, m := range measured {
		assert.Equal(t, 20, m.Hosts)
		assert.Len(t, m.Runs, pairs)
		if m.SessionCache {
			assert.InDelta(t, 1, m.Resumed, 0.001, "every host was visited before")
		} else {
			assert.Zero(t, m.Resumed)
		}
	}
}
