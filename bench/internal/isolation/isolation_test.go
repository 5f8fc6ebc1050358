package isolation_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/isolation"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
)

func TestJudge(t *testing.T) {
	const ms = clock.Time(time.Millisecond)
	load := client.Load{First: 2, Count: 6, Start: 1000 * ms, Interval: 400 * time.Millisecond, End: 5000 * ms}
	// Messages 2 to 7 are to be sent at 1000, 1400, 1800, 2200, 2600 and 3000 ms.
	report := receiver.Report{Arrivals: []clock.Time{
		1, 1, // not of this load
		1010 * ms, // 10 ms late
		1430 * ms, // 30 ms late
		0,         // it never came
		2199 * ms, // early, which it can't be
		2620 * ms, // doesn't count
		5001 * ms, // after the end
	}}
	got := isolation.Judge(load, client.Loaded{Refused: []int{4, 6}}, report, func(n int) bool { return n != 6 })
	assert.Equal(t, result.Isolation{
		Healthy: 5, Refused: 1, Arrived: 3, P50: 10 * time.Millisecond, P99: 30 * time.Millisecond, Max: 30 * time.Millisecond,
		Timeline: []result.Second{
			{Offered: 3, Arrived: 2, P50: 10 * time.Millisecond, P99: 30 * time.Millisecond, Max: 30 * time.Millisecond},
			{Offered: 1, Arrived: 1},
			{Offered: 1},
		},
	}, got)
}

func TestQuantiles(t *testing.T) {
	const ms = clock.Time(time.Millisecond)
	load := client.Load{Count: 1000, Start: ms, Interval: time.Microsecond, End: 1 << 60}
	report := receiver.Report{}
	for i := range 1000 { // latencies of 1 to 1000 ms, the longest first
		report.Arrivals = append(report.Arrivals, load.Time(i)+clock.Time(1000-i)*ms)
	}
	got := isolation.Judge(load, client.Loaded{}, report, func(int) bool { return true })
	assert.Equal(t, 500*time.Millisecond, got.P50)
	assert.Equal(t, 990*time.Millisecond, got.P99)
	assert.Equal(t, time.Second, got.Max)
	assert.Zero(t, isolation.Judge(load, client.Loaded{}, receiver.Report{Arrivals: make([]clock.Time, 1000)}, func(int) bool { return true }).P99)
}

func TestScenarios(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range isolation.Scenarios() {
		assert.False(t, seen[s.Name], "%s is there twice", s.Name)
		seen[s.Name] = true
		assert.NotEmpty(t, s.About)
		found, err := isolation.ByName(s.Name)
		require.NoError(t, err)
		assert.Equal(t, s.About, found.About)
	}
	_, err := isolation.ByName("sunny")
	assert.ErrorContains(t, err, "sunny")
}

// Two senders, each with receivers and all in processes of their own, at the same time.
func TestRun(t *testing.T) {
	const pool = "pool"
	for _, c := range []struct {
		scenario string
		healthy  int // of 2000 messages
	}{
		{"hung", 1800},
		{"busy", 1000},
		{"endpoints failing", 1800},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			s, err := isolation.ByName(c.scenario)
			require.NoError(t, err)
			measured, err := s.Run(t.Context(), 2*time.Second, result.Signpost, pool)
			require.NoError(t, err)
			assert.Equal(t, c.scenario, measured.Name)
			assert.Equal(t, 2*time.Second, measured.Duration)
			for _, name := range []string{result.Signpost, pool} {
				i, ok := measured.By(name)
				require.True(t, ok)
				assert.Equal(t, c.healthy, i.Healthy)
				assert.LessOrEqual(t, i.Arrived+i.Refused, i.Healthy)
				assert.LessOrEqual(t, i.P50, i.P99)
				assert.LessOrEqual(t, i.P99, i.Max)
				assert.Positive(t, i.Connections)
				assert.Positive(t, i.Goroutines)
				assert.Positive(t, i.Memory)
				assert.Positive(t, i.CPU)
				offered, arrived := 0, 0
				for _, second := range i.Timeline {
					offered += second.Offered
					arrived += second.Arrived
				}
				assert.Equal(t, i.Healthy, offered)
				assert.Equal(t, i.Arrived, arrived)
			}
		})
	}
}

func TestRunApart(t *testing.T) {
	s, err := isolation.ByName("none")
	require.NoError(t, err)
	names := []string{"pool", result.Signpost}
	measured, err := s.RunApart(t.Context(), time.Second, names...)
	require.NoError(t, err)
	require.Len(t, measured.Isolation, 2)
	for i, name := range names {
		assert.Equal(t, name, measured.Isolation[i].Sender)
		assert.Equal(t, 1000, measured.Isolation[i].Healthy)
	}
}
