package store

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/payload"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// What is written by hand is what the queue would have written: the queue gives it to receivers.
func TestWhatIsWrittenByHandIsThere(t *testing.T) {
	for _, way := range []string{result.Single, result.Pool, result.Group} {
		t.Run(way, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			s := &service{}
			require.NoError(t, s.Open(Config{path, way}, nil))
			assert.Equal(t, way == result.Group, s.queue != nil)
			const messages = 20
			for i := range messages {
				require.NoError(t, s.writer.write(t.Context(), newID(), i, payload.New(size)))
			}
			require.NoError(t, s.Shut(struct{}{}, nil))

			var counts map[string]int
			require.NoError(t, s.Count(path, &counts))
			assert.Equal(t, map[string]int{"pending": messages}, counts)
			require.NoError(t, s.Postpone(Postponement{path, -time.Hour}, nil))
			require.NoError(t, s.Postpone(Postponement{path, time.Hour}, nil))
		})
	}
}

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	s := &service{}
	require.NoError(t, s.Open(Config{path, result.Group}, nil))
	var used Used
	require.NoError(t, s.Fill(Backlog{Messages: batch + 10, Payload: 100}, &used))
	assert.Equal(t, batch+10, used.Messages)
	require.NoError(t, s.Take(Taking{Messages: 100}, &used))
	require.NoError(t, s.Take(Taking{Messages: 200, Settlers: 4}, &used))
	assert.Equal(t, 200, used.Messages)
	require.NoError(t, s.Shut(struct{}{}, nil))
	var counts map[string]int
	require.NoError(t, s.Count(path, &counts))
	assert.Equal(t, map[string]int{"pending": batch - 190, "delivered": 200}, counts)
}

func TestAnUnknownWriter(t *testing.T) {
	assert.ErrorContains(t, (&service{}).Open(Config{filepath.Join(t.TempDir(), "queue.db"), "a quill"}, nil), `"a quill"`)
}
