package machine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/machine"
)

func TestDescribe(t *testing.T) {
	m, err := machine.Describe(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, m.Processor)
	assert.Positive(t, m.Cores)
	assert.Greater(t, m.Memory, int64(64<<20))
	assert.Regexp(t, `^Linux \d+\.\d+`, m.Kernel)
	assert.Regexp(t, `^(go|devel)`, m.Go)
}
