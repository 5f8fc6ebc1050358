package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestPrune(t *testing.T) {
	for name, c := range map[string]struct {
		since time.Time // when what is left has ended
		want  int
		left  string
	}{
		"all that have ended": {time.Now().Add(time.Hour), 5, "msg_p3 msg_p6 msg_y8"},
		"some":                {hour(4.5), 3, "msg_p3 msg_x5 msg_p6 msg_d7 msg_y8"},
		"none":                {hour(0.5), 0, "msg_d1 msg_x2 msg_p3 msg_x4 msg_x5 msg_p6 msg_d7 msg_y8"},
		"longest":             {time.Now().Add(-1 << 63), 0, "msg_d1 msg_x2 msg_p3 msg_x4 msg_x5 msg_p6 msg_d7 msg_y8"},
	} {
		t.Run(name, func(t *testing.T) {
			q, _ := logOfEight(t)
			n, err := q.Prune(t.Context(), max(0, time.Since(c.since)))
			require.NoError(t, err)
			require.Equal(t, c.want, n)
			require.Equal(t, c.left, idsOf(collected(t, q.Messages(t.Context(), Filter{}))))
		})
	}
	q, _ := logOfEight(t)
	n, err := q.Prune(t.Context(), -time.Second)
	require.ErrorContains(t, err, "-1s")
	require.Zero(t, n)
}

func TestPruneDeletesAttempts(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2")
	ended(t, q, 1, signpost.Outcome{
		State: signpost.Retrying, RetryAt: time.Now().Add(time.Hour), Attempt: signpost.Attempt{Number: 1, StatusCode: 500},
	})
	ended(t, q, 1, delivered)
	n, err := q.Prune(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, 1, queried(t, path, "SELECT count(*) FROM attempts"))
	left := collected(t, q.Messages(t.Context(), Filter{}))
	require.Equal(t, "msg_1", idsOf(left))
	require.Len(t, left[0].Attempts, 1)
}

// queried returns the number that somebody with sqlite3 would see.
func queried(t *testing.T, path, query string) (n int) {
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// The file has no memory of what was pruned, so a receiver would get it again.
func TestPrunedIDIsNew(t *testing.T) {
	q, _ := openLogged(t)
	enqueued(t, q, "msg_1")
	ended(t, q, 1, delivered)
	enqueued(t, q, "msg_1")
	counts, err := q.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, Counts{Delivered: 1}, counts)
	_, err = q.Prune(t.Context(), 0)
	require.NoError(t, err)
	_, err = q.Redeliver(t.Context(), "msg_1")
	require.ErrorContains(t, err, "pruned")
	enqueued(t, q, "msg_1")
	ended(t, q, 1, delivered)
	require.Len(t, collected(t, q.Messages(t.Context(), Filter{})), 1)
}

// grown has n messages of 4 KiB that have ended, all in the file itself.
func grown(t *testing.T, path string, n int) {
	raw(t, path, `WITH RECURSIVE count (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM count LIMIT ?)
		INSERT INTO messages (id, state, host, endpoint, url, attempts, due_at, changed_at, created_at, accepted_at,
			checksum, header, payload)
		SELECT 'msg_old_' || i, 'delivered', 'a.example:443', 'https://a.example:443/', 'https://a.example/', 1, 1, 1, 1, 1,
			1, '', zeroblob(4096)
		FROM count`, n)
	raw(t, path, "PRAGMA wal_checkpoint(TRUNCATE)")
}

func sizeOf(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

func TestPruneShrinksTheFile(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "msg_first")
	const n = 2000
	grown(t, path, n)
	enqueued(t, q, "msg_pending")
	before := sizeOf(t, path)
	began := time.Now()
	got, err := q.Prune(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, n, got)
	after := sizeOf(t, path)
	t.Logf("%d bytes, then %d after %v", before, after, time.Since(began))
	require.Less(t, after, before/8)
	require.Equal(t, "msg_first msg_pending", idsOf(collected(t, q.Messages(t.Context(), Filter{}))))
	require.NoError(t, q.Check(t.Context()))
	ended(t, q, 2, delivered)
}

// Pages that new messages will need soon aren't given back.
func TestPruneKeepsAFewFreePages(t *testing.T) {
	q, path := openLogged(t)
	const n = 1600
	grown(t, path, n)
	raw(t, path, "UPDATE messages SET changed_at = ? WHERE number > ?", q.clock.now(), n/6)
	before := queried(t, path, "PRAGMA page_count")
	got, err := q.Prune(t.Context(), time.Hour)
	require.NoError(t, err)
	require.Equal(t, n/6, got)
	require.Equal(t, before, queried(t, path, "PRAGMA page_count"))
	require.Greater(t, queried(t, path, "PRAGMA freelist_count"), minFree)
}

// A step is bounded, so whoever writes meanwhile waits for one at most.
func TestPruneInSteps(t *testing.T) {
	t.Run("messages", func(t *testing.T) {
		q, path := openLogged(t)
		var ids []string
		for i := range pruneStep + 50 {
			ids = append(ids, fmt.Sprintf("msg_%d", i))
		}
		enqueued(t, q, ids...)
		raw(t, path, "UPDATE messages SET state = 'dead', changed_at = number")
		step := &pruning{state: Dead, until: q.clock.now()}
		require.NoError(t, q.do(t.Context(), "prune", step))
		require.Len(t, step.numbers, pruneStep)
		require.True(t, step.more)
		require.Equal(t, int64(pruneStep), step.numbers[pruneStep-1]) // the oldest first
		step = &pruning{state: Dead, until: q.clock.now()}
		require.NoError(t, q.do(t.Context(), "prune", step))
		require.Len(t, step.numbers, 50)
		require.False(t, step.more)
	})
	t.Run("bytes", func(t *testing.T) {
		q, path := openLogged(t)
		grown(t, path, 5)
		raw(t, path, "UPDATE messages SET state = 'dead', payload = zeroblob(?)", pruneStepBytes/2)
		step := &pruning{state: Dead, until: q.clock.now()}
		require.NoError(t, q.do(t.Context(), "prune", step))
		require.Len(t, step.numbers, 3)
		require.True(t, step.more)
	})
}

func TestPruneWhileOthersWrite(t *testing.T) {
	q, path := openLogged(t)
	grown(t, path, 1500)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 25 {
				m := &signpost.Message{ID: fmt.Sprintf("msg_%d_%d", i, j), URL: fmt.Sprintf("https://host%d.example/", i), Payload: []byte("1")}
				if err := q.Enqueue(context.Background(), m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			l, err := q.Receive(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			if err := l.Settle(context.Background(), gone); err != nil {
				t.Error(err)
			}
		}
	})
	pruned, err := q.Prune(t.Context(), 0)
	require.NoError(t, err)
	wg.Wait()
	rest, err := q.Prune(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, 1550, pruned+rest)
	counts, err := q.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, Counts{Pending: 50}, counts)
	require.NoError(t, q.Check(t.Context()))
	ended(t, q, 50, delivered)
}

func TestRetention(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := Open(t.Context(), path, quiet)
	require.NoError(t, err)
	enqueued(t, q, "msg_old", "msg_new", "msg_pending")
	ended(t, q, 2, gone)
	raw(t, path, "UPDATE messages SET changed_at = 1, accepted_at = 1 WHERE id IN ('msg_old', 'msg_pending')")
	require.NoError(t, q.Close())

	q, err = Open(t.Context(), path, quiet, WithRetention(time.Hour))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		counts, err := q.Counts(t.Context())
		return err == nil && counts.Dead == 1
	}, 30*time.Second, 5*time.Millisecond)
	require.Equal(t, "msg_new msg_pending", idsOf(collected(t, q.Messages(t.Context(), Filter{}))))
	require.NoError(t, q.Close())

	// It may be closed in the middle.
	q, err = Open(t.Context(), path, quiet)
	require.NoError(t, err)
	grown(t, path, 1000)
	require.NoError(t, q.Close())
	for range 5 {
		q, err = Open(t.Context(), path, quiet, WithRetention(time.Second))
		require.NoError(t, err)
		require.NoError(t, q.Close())
	}
}

// What the pruner can't do is logged, and the queue goes on.
func TestRetentionFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := Open(t.Context(), path, quiet)
	require.NoError(t, err)
	enqueued(t, q, "msg_1")
	raw(t, path, "UPDATE messages SET state = 'dead', changed_at = 1")
	raw(t, path, "CREATE TRIGGER keep BEFORE DELETE ON messages BEGIN SELECT raise(ABORT, 'kept'); END")
	require.NoError(t, q.Close())
	lines := make(chan string, 10)
	q, err = Open(t.Context(), path, WithRetention(time.Hour), WithLogger(slog.New(slog.NewTextHandler(lineWriter(lines), nil))))
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	select {
	case line := <-lines:
		require.Contains(t, line, "pruning failed")
		require.Contains(t, line, "kept")
		require.Contains(t, line, path)
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was logged")
	}
	enqueued(t, q, "msg_2")
	ended(t, q, 1, delivered)
}

type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestPruneInterval(t *testing.T) {
	for retention, want := range map[time.Duration]time.Duration{
		time.Second: time.Second, 20 * time.Second: 2 * time.Second, 10 * time.Hour: time.Hour, 30 * 24 * time.Hour: time.Hour,
	} {
		require.Equal(t, want, pruneInterval(retention))
	}
}
