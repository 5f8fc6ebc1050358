package brokers_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/brokers"
	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

func TestMain(m *testing.M) {
	trial.Main()
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector lets every child sleep for a second at its end
	os.Exit(m.Run())
}

var passing = brokers.Passing{WarmUp: 100, Counted: 300, Rate: 100, For: 500 * time.Millisecond}

// empty returns a folder that must be empty again in the end.
func empty(t *testing.T) string {
	folder := t.TempDir()
	t.Cleanup(func() {
		left, err := os.ReadDir(folder)
		require.NoError(t, err)
		assert.Empty(t, left)
	})
	return folder
}

func TestFleet(t *testing.T) {
	p := passing
	p.Folder = empty(t)
	f := brokers.NewFleet(p)
	t.Cleanup(f.Close)
	var b result.Brokers
	require.NoError(t, f.Throughput(t.Context(), &b))
	require.NoError(t, f.Latency(t.Context(), &b), "the other way round")

	assert.GreaterOrEqual(t, len(b.Passages), 2, "what needs no server is always measured")
	if len(b.Missing) == 0 {
		assert.Len(t, b.Passages, brokers.Ways())
	}
	for _, q := range b.Passages {
		require.Len(t, q.Runs, 1, q.Queue)
		for _, r := range q.Runs {
			assert.Equal(t, 300, r.Messages, q.Queue)
			assert.Positive(t, r.Rate(), q.Queue)
			assert.Positive(t, r.CPU, q.Queue)
			assert.GreaterOrEqual(t, r.Server, time.Duration(0), q.Queue)
		}
		require.Len(t, q.Lags, 1, q.Queue)
		assert.Equal(t, 50, q.Lags[0].Messages, q.Queue)
		assert.Positive(t, q.Lags[0].P50, q.Queue)
		assert.LessOrEqual(t, q.Lags[0].P50, q.Lags[0].P99, q.Queue)
		assert.LessOrEqual(t, q.Lags[0].P99, q.Lags[0].Max, q.Queue)
	}
	assert.Equal(t, result.InMemory, b.Passages[0].Queue, "tables have them in this order, whichever was measured first")
	if !t.Failed() && len(b.Missing) > 0 {
		t.Skip(b.Missing)
	}
}

func TestWithoutServersTheOthersAreMeasured(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.False(t, redis.Installed())
	p := passing
	p.Folder = empty(t)
	f := brokers.NewFleet(p)
	t.Cleanup(f.Close)
	var b result.Brokers
	for range 2 {
		require.NoError(t, f.Throughput(t.Context(), &b))
	}
	require.Len(t, b.Passages, 2)
	var queues []string
	for _, m := range b.Missing {
		queues = append(queues, m.Queue)
		assert.Contains(t, m.Why, "install")
	}
	assert.Equal(t, []string{result.RabbitMQ, result.Kafka, result.AsynqAlways, result.AsynqEverySecond}, queues, "each once")
}

func TestAFolderThatIsNotThere(t *testing.T) {
	p := passing
	p.Folder = "/nowhere"
	f := brokers.NewFleet(p)
	t.Cleanup(f.Close)
	err := f.Throughput(t.Context(), &result.Brokers{})
	assert.ErrorIs(t, err, os.ErrNotExist)
}
