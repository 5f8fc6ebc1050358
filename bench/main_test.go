package main

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

func TestMain(m *testing.M) {
	trial.Main()
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector lets every child sleep for a second at its end
	os.Exit(m.Run())
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args   []string
		err    string
		writes bool
	}{
		{args: nil, writes: true},
		{args: []string{"-alone", "-duration", "30s"}, writes: true},
		{args: []string{"-quick"}},
		{args: []string{"-quick", "-out", "x"}, writes: true},
		{args: []string{"-parts", "cost"}},
		{args: []string{"-parts", "cost,limits", "-out", "x"}, writes: true},
		{args: []string{"-only", "hung"}},
		{args: []string{"-parts", "cost,magic"}, err: `"magic"`},
		{args: []string{"-only", "("}, err: "-only"},
		{args: []string{"-duration", "1ms"}, err: "-duration"},
		{args: []string{"-parts", "durable,brokers", "-disk", "/var/tmp"}},
		{args: []string{"cost"}, err: `unexpected argument "cost"`},
		{args: []string{"-fast"}, err: "-fast"},
	} {
		task, err := parse(c.args, io.Discard)
		if c.err != "" {
			assert.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err, "%q", c.args)
		assert.Equal(t, c.writes, task.writes(), "%q", c.args)
	}
}

// On two cores a run must not take longer than people wait for it.
func TestARunIsExpectedToTakeLessThan24Minutes(t *testing.T) {
	task, err := parse(nil, io.Discard)
	require.NoError(t, err)
	steps, err := task.steps(&result.Report{})
	require.NoError(t, err)
	var total time.Duration
	names := map[string]bool{}
	for _, s := range steps {
		total += s.Expected
		assert.False(t, names[s.Name], "%s is there twice", s.Name)
		names[s.Name] = true
	}
	assert.Less(t, total, 24*time.Minute)
}

func TestRun(t *testing.T) {
	if !redis.Installed() {
		t.Skip(redis.ErrMissing)
	}
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-quick", "-only", "alone: hung|cost: 200 B, plain HTTP, 1 host|reconnects|durable: (fsync|end|size)|brokers: messages"}, &stdout, &stderr))
	for _, want := range []string{"figures mean nothing", "hung, alone", result.Loop, "session cache true", "fsync", "end to end, in a file true", "bytes a message",
		result.AsynqAlways, result.RabbitMQ, result.Kafka, "No file was written"} {
		assert.Contains(t, stdout.String(), want)
	}
	assert.Contains(t, stderr.String(), "[ 1/7] isolation: signpost alone: hung")

	err := run(t.Context(), []string{"-parts", "durable", "-disk", "/dev/shm"}, &stdout, &stderr)
	assert.ErrorContains(t, err, "-disk: folder /dev/shm is in memory")
	err = run(t.Context(), []string{"-only", "nothing at all"}, &stdout, &stderr)
	assert.ErrorContains(t, err, "nothing at all")
}
