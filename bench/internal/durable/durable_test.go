package durable_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/disk"
	"github.com/signpost-go/signpost/bench/internal/durable"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
)

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

func TestWriting(t *testing.T) {
	for _, delay := range []time.Duration{0, 5 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			if delay > 0 {
				if _, err := disk.Slow(delay); err != nil {
					t.Skip(err)
				}
			}
			w := durable.Writing{Folder: empty(t), Producers: 16, For: 300 * time.Millisecond, Rounds: 1, Delay: delay}
			writes, err := w.Run(t.Context())
			require.NoError(t, err)
			require.Len(t, writes, len(durable.Ways()))
			for i, way := range durable.Ways() {
				assert.Equal(t, way, writes[i].Way)
				assert.Equal(t, 16, writes[i].Producers)
				assert.Equal(t, delay, writes[i].Delay)
				require.Len(t, writes[i].Runs, 1)
				r := writes[i].Runs[0]
				assert.Positive(t, r.Rate())
				assert.Positive(t, r.CPU)
				if way == result.Group {
					assert.Less(t, r.Commits, r.Messages, "many share a commit")
				} else {
					assert.Equal(t, r.Messages, r.Commits)
				}
				if delay > 0 {
					assert.LessOrEqual(t, r.Commits, int(r.Took/delay)+1, "each waits for the disk")
				}
			}
		})
	}
}

func TestDelivering(t *testing.T) {
	ends, err := durable.Delivering{Folder: empty(t), WarmUp: 50, Counted: 200, Rounds: 2}.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, ends, 2)
	for i, e := range ends {
		assert.Equal(t, i == 0, e.Durable)
		require.Len(t, e.Runs, 2)
		for _, r := range e.Runs {
			assert.Equal(t, 200, r.Messages)
			assert.Positive(t, r.Rate())
			assert.Positive(t, r.CPU)
		}
	}
}

func TestSize(t *testing.T) {
	s, err := durable.Size(t.Context(), empty(t), 1000)
	require.NoError(t, err)
	assert.Equal(t, 1000, s.Messages)
	assert.Greater(t, s.Pending, int64(1000<<10))
	assert.Greater(t, s.Delivered, int64(1000<<10))
}

func TestReceiving(t *testing.T) {
	takes, err := durable.Receiving{Folder: empty(t), Few: 100, Many: 1000, Taken: 300, Rounds: 2}.Run(t.Context())
	require.NoError(t, err)
	var got []result.Take
	for _, k := range takes {
		require.Len(t, k.Runs, 2)
		for _, cpu := range k.Runs {
			assert.Positive(t, cpu)
		}
		k.Runs = nil
		got = append(got, k)
	}
	assert.Equal(t, []result.Take{
		{Due: 100}, {Due: 100, Settled: true}, {Due: 1000}, {Due: 1000, Settled: true}, {Due: 100, Later: 400}, {Due: 100, Later: 400, Settled: true},
	}, got)
}

// That all live messages arrive doesn't depend on how fast the machine is, unless it is very slow: they have a second.
func TestWaiting(t *testing.T) {
	w := durable.Waiting{Folder: empty(t), Messages: 1000, Live: 5, Rate: 50, For: time.Second}
	for _, kind := range []receiver.Kind{receiver.OK, receiver.Hang, receiver.Refuse} {
		s, err := w.Run(t.Context(), kind)
		require.NoError(t, err)
		assert.Equal(t, durable.Condition(kind), s.Name)
		assert.NotEmpty(t, s.About)
		require.Len(t, s.Isolation, 1)
		i := s.Isolation[0]
		assert.Equal(t, result.Signpost, i.Sender)
		assert.Equal(t, 50, i.Healthy)
		assert.Positive(t, i.Arrived)
		if kind == receiver.Hang {
			assert.Positive(t, i.Connections, "the messages that wait are tried")
		} else {
			assert.Zero(t, i.Connections)
		}
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	_, err := durable.Writing{Folder: "/nowhere", Producers: 1, For: time.Millisecond, Rounds: 1}.Run(t.Context())
	assert.ErrorIs(t, err, os.ErrNotExist)
}
