package usage_test

import (
	"os"
	"os/exec"
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

// A shell's child is below this process, and so is the shell, and what it has waited for.
func TestBelow(t *testing.T) {
	none, err := usage.Below(os.Getpid())
	require.NoError(t, err)
	const work = `i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; `
	cmd := exec.Command("sh", "-c", work+"("+work+"echo; read x); :")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	below, err := usage.Below(os.Getpid())
	require.NoError(t, err)
	shell, err := usage.Of(cmd.Process.Pid)
	require.NoError(t, err)
	assert.Positive(t, shell)
	assert.Greater(t, below-none, shell, "the child counts, too")
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
