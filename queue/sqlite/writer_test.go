package sqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// commits is how many transactions the file has seen since it was opened: the counter iChange in the index of the
// write-ahead log (https://www.sqlite.org/walformat.html, section 2.1.1).
func commits(t testing.TB, path string) uint32 {
	t.Helper()
	index, err := os.ReadFile(path + "-shm")
	require.NoError(t, err)
	require.Greater(t, len(index), 12)
	return binary.NativeEndian.Uint32(index[8:])
}

// blockWriter keeps the writer from beginning a transaction, until release is called.
func blockWriter(t testing.TB, path string) (release func()) {
	t.Helper()
	db, err := openDatabase(t.Context(), dsn(path, "rw", "busy_timeout(5000)"), 1)
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	release = sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		assert.NoError(t, err)
		assert.NoError(t, errors.Join(conn.Close(), db.Close()))
	})
	t.Cleanup(release)
	return release
}

// awaitJobs returns when n jobs wait for the writer.
func awaitJobs(q *Queue, n int) {
	for {
		q.writer.mu.Lock()
		waiting := len(q.writer.waiting)
		q.writer.mu.Unlock()
		if waiting == n {
			return
		}
		runtime.Gosched()
	}
}

// All that wait while the disk is busy go in one transaction.
func TestWriterCommitsTogether(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, messageTo("http://a/", "0"), messageTo("http://a/", "1"))
	lease := receive(t, q)
	release := blockWriter(t, q.file.path)
	before := commits(t, q.file.path)
	var wg sync.WaitGroup
	first := jobFor(arrivalOf(q, messageTo("http://a/", "first")))
	require.NoError(t, q.writer.post(first))
	awaitJobs(q, 0) // the writer has it
	for i := range 100 {
		wg.Go(func() { assert.NoError(t, q.Enqueue(t.Context(), messageTo("http://a/", fmt.Sprint("m", i)))) })
	}
	wg.Go(func() { assert.NoError(t, lease.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered})) })
	awaitJobs(q, 101)
	release()
	wg.Wait()
	require.NoError(t, first.err)
	assert.EqualValues(t, 2, commits(t, q.file.path)-before)
	assert.Equal(t, 103, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
}

// A lone caller has a transaction of its own, at once.
func TestWriterWaitsForNoCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t)
		defer q.Close()
		before, started := commits(t, q.file.path), time.Now()
		for i := range 10 {
			enqueue(t, q, messageTo("http://a/", fmt.Sprint(i)))
			require.EqualValues(t, i+1, commits(t, q.file.path)-before)
		}
		assert.Zero(t, time.Since(started), "in a bubble time goes by only where somebody waits for it")
	})
}

// What is withdrawn before the writer has begun with it leaves nothing behind.
func TestWriterWithdraws(t *testing.T) {
	q := newQueue(t)
	release := blockWriter(t, q.file.path)
	var wg sync.WaitGroup
	first := jobFor(arrivalOf(q, messageTo("http://a/", "first")))
	require.NoError(t, q.writer.post(first))
	awaitJobs(q, 0) // the writer has it
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 10 {
		wg.Go(func() {
			assert.ErrorIs(t, q.Enqueue(ctx, messageTo("http://a/", fmt.Sprint("withdrawn", i))), context.Canceled)
		})
		wg.Go(func() { assert.NoError(t, q.Enqueue(t.Context(), messageTo("http://a/", fmt.Sprint("kept", i)))) })
	}
	awaitJobs(q, 20)
	cancel()
	awaitJobs(q, 10)
	release()
	wg.Wait()
	assert.Equal(t, 11, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
	assert.Zero(t, ask[int](t, q.file.path, "SELECT count(*) FROM messages WHERE id LIKE 'withdrawn%'"))
	done, stop := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	assert.ErrorIs(t, q.Enqueue(done, messageTo("http://a/", "late")), context.DeadlineExceeded)
	assert.Zero(t, ask[int](t, q.file.path, "SELECT count(*) FROM messages WHERE id = 'late'"))
}

// A failing task fails whenever it is tried.
type failing struct{ tried int }

var errFailing = errors.New("it fails")

func (f *failing) size() int { return 0 }

func (f *failing) apply(w *statements) error {
	f.tried++
	if _, err := w.saveClock.ExecContext(context.Background(), 1); err != nil {
		return err
	}
	return errFailing
}

// standalone returns a writer without its goroutine.
func standalone(t testing.TB, q *Queue, pragmas ...string) *writer {
	t.Helper()
	w := &writer{clock: q.clock, committed: q.committed, path: q.file.path, at: q.writer.at, dsn: dsn(q.file.path, "rw", pragmas...)}
	t.Cleanup(func() { assert.NoError(t, w.close()) })
	return w
}

func jobFor(t task) *job { return &job{task: t, done: make(chan struct{})} }

func arrivalOf(q *Queue, m *signpost.Message) *arrival {
	a := &arrival{queue: q}
	a.add(m)
	return a
}

// What one caller wants and can't have costs the others nothing, and few transactions.
func TestWriterFailsAlone(t *testing.T) {
	q := newQueue(t)
	w := standalone(t, q, "busy_timeout(5000)")
	var jobs []*job
	bad := map[int]*failing{3: {}, 200: {}}
	for i := range 256 {
		if f := bad[i]; f != nil {
			jobs = append(jobs, jobFor(f))
		} else {
			jobs = append(jobs, jobFor(arrivalOf(q, messageTo("http://a/", fmt.Sprint(i)))))
		}
	}
	before := commits(t, q.file.path)
	w.commit(jobs)
	assert.Less(t, commits(t, q.file.path)-before, uint32(20))
	for i, j := range jobs {
		<-j.done
		if bad[i] != nil {
			assert.ErrorIs(t, j.err, errFailing)
		} else {
			assert.NoError(t, j.err)
		}
	}
	assert.Equal(t, 254, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
	assert.NotEqual(t, 1, ask[int](t, q.file.path, "SELECT coalesce(max(now_at), 0) FROM clock"), "what a failing task has written is rolled back")
	for range 254 {
		l := receive(t, q)
		require.NotNil(t, l)
	}
	nothing(t, q)
}

// Another program that keeps the file locked is waited for once, not once for each job.
func TestWriterCannotBegin(t *testing.T) {
	q := newQueue(t)
	w := standalone(t, q, "busy_timeout(0)")
	release := blockWriter(t, q.file.path)
	first, second := jobFor(arrivalOf(q, messageTo("http://a/", "1"))), jobFor(arrivalOf(q, messageTo("http://a/", "2")))
	w.commit([]*job{first, second})
	require.Error(t, first.err)
	assert.Same(t, first.err, second.err, "one transaction was tried")
	assert.ErrorIs(t, q.explain("enqueue", first.err), errBusy)
	release()
	again := jobFor(arrivalOf(q, messageTo("http://a/", "1")))
	w.commit([]*job{again})
	assert.NoError(t, again.err)
	assert.Equal(t, 1, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
}

// A connection that is in an unknown state is replaced.
func TestWriterReconnects(t *testing.T) {
	q := newQueue(t)
	w := standalone(t, q, "busy_timeout(5000)")
	for i := range 3 {
		j := jobFor(arrivalOf(q, messageTo("http://a/", fmt.Sprint(i))))
		w.commit([]*job{j})
		require.NoError(t, j.err)
		switch i {
		case 0: // as if SQLite had rolled back by itself
			require.NoError(t, w.begin())
			_, err := w.write.rollback.ExecContext(t.Context())
			require.NoError(t, err)
			require.Error(t, w.transact([]*job{jobFor(&failing{})}))
			assert.True(t, w.broken)
		case 1:
			require.NoError(t, w.db.Close())
			w.broken = true
		}
	}
	assert.Equal(t, 3, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
}

// The queue's messages are found by seeking, however many there are.
func TestPlans(t *testing.T) {
	q := newQueue(t)
	db := q.reader.db
	t.Run("fetch", func(t *testing.T) {
		assert.Equal(t, []string{
			"MERGE (UNION ALL)",
			"LEFT", "SEARCH messages USING INDEX messages_due (endpoint=? AND due_at=? AND rowid>?)",
			"RIGHT", "SEARCH messages USING INDEX messages_due (endpoint=? AND due_at>?)",
		}, plan(t, db, fetchQuery, "http://a:80/", 0, 0, 17))
	})
	t.Run("pick", func(t *testing.T) {
		assert.Equal(t, []string{"SEARCH messages USING INTEGER PRIMARY KEY (rowid=?)"}, plan(t, db, pickQuery, 1))
	})
	t.Run("find lines", func(t *testing.T) {
		for _, step := range plan(t, db, findLinesQuery) {
			assert.NotContains(t, step, "SCAN messages")
			assert.NotContains(t, step, "SCAN m ")
			assert.NotContains(t, step, "TEMP B-TREE")
		}
	})
	t.Run("settle", func(t *testing.T) {
		assert.Equal(t, []string{"SEARCH messages USING INTEGER PRIMARY KEY (rowid=?)"}, plan(t, db, settleQuery, 1, "dead", nil, 1, 0, 0))
	})
}

// Reading on in a line of messages that are all due at the same time takes as many steps at its end as at its start.
func TestFetchSeeks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path)
	var msgs []*signpost.Message
	for i := range 2000 {
		msgs = append(msgs, messageTo("http://a/", fmt.Sprint(i)))
	}
	enqueue(t, q, msgs...)
	require.Equal(t, 1, ask[int](t, path, "SELECT count(DISTINCT due_at) FROM messages"))
	due := ask[int64](t, path, "SELECT min(due_at) FROM messages")
	for _, after := range []int64{0, 1000, 1980} {
		rows, err := q.reader.db.QueryContext(t.Context(), fetchQuery, msgs[0].Endpoint(), due, after, 16)
		require.NoError(t, err)
		got := scanNumbers(t, rows)
		require.Len(t, got, 16)
		for i, number := range got {
			require.Equal(t, after+1+int64(i), number)
		}
	}
}

func scanNumbers(t testing.TB, rows *sql.Rows) (numbers []int64) {
	t.Helper()
	defer rows.Close()
	for rows.Next() {
		var r row
		require.NoError(t, r.scan(rows))
		numbers = append(numbers, r.number)
	}
	require.NoError(t, rows.Err())
	return numbers
}
