package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// What Open makes of files that it finds.
func TestOpenFinds(t *testing.T) {
	statement := func(statements ...string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			db, err := openDatabase(t.Context(), dsn(path, "rwc"), 1)
			require.NoError(t, err)
			defer db.Close()
			for _, s := range statements {
				_, err := db.ExecContext(t.Context(), s)
				require.NoError(t, err)
			}
		}
	}
	content := func(text string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	}
	onQueue := func(statements ...string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			q := openQueue(t, path)
			require.NoError(t, q.Close())
			statement(statements...)(t, path)
		}
	}
	for _, tt := range []struct {
		name string
		file func(t *testing.T, path string)
		err  error
		says string
	}{
		{name: "nothing", file: func(*testing.T, string) {}},
		{name: "empty file", file: content("")},
		{name: "creation cut off", file: statement("PRAGMA journal_mode = wal")},
		{name: "queue", file: onQueue()},
		{name: "queue in another journal mode", file: onQueue("PRAGMA journal_mode = delete")},
		{name: "newer queue", file: onQueue(fmt.Sprintf("PRAGMA user_version = %d", len(migrations)+1)), err: ErrNewer, says: fmt.Sprintf("version %d", len(migrations)+1)},
		{name: "impossible version", file: onQueue("PRAGMA user_version = -1"), err: ErrDamaged, says: "version -1"},
		{name: "other database", file: statement("CREATE TABLE messages (id)"), err: ErrNotQueue, says: "a file of its own"},
		{name: "other database with an ID", file: statement("PRAGMA application_id = 1"), err: ErrNotQueue, says: "0x1"},
		{name: "other database with a version", file: statement("PRAGMA user_version = 1"), err: ErrNotQueue},
		{name: "text", file: content("hello, world\n"), err: ErrNotQueue},
		{name: "long text", file: content(string(make([]byte, 1)) + fmt.Sprintf("%9000d", 1)), err: ErrNotQueue},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			tt.file(t, path)
			before, _ := os.ReadFile(path)
			q, err := Open(t.Context(), path)
			if tt.err == nil {
				require.NoError(t, err)
				defer q.Close()
				enqueue(t, q, messageTo("http://a/", "a"))
				assert.Equal(t, "wal", ask[string](t, path, "PRAGMA journal_mode"))
				assert.Equal(t, len(migrations), ask[int](t, path, "PRAGMA user_version"))
				assert.Equal(t, applicationID, ask[int](t, path, "PRAGMA application_id"))
				assert.Equal(t, "ok", ask[string](t, path, "PRAGMA integrity_check"))
				return
			}
			assert.ErrorIs(t, err, tt.err)
			assert.ErrorContains(t, err, tt.says)
			assert.ErrorContains(t, err, path)
			if after, _ := os.ReadFile(path); tt.err == ErrNotQueue && len(before) > 100 && before[0] != 'S' {
				assert.Equal(t, before, after, "it is left as it was")
			}
			_, again := Open(t.Context(), path)
			assert.ErrorIs(t, again, tt.err, "the lock was given up")
		})
	}
}

// A step to a newer schema keeps what is in the file, and happens whole or not at all.
func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path)
	enqueue(t, q, messageTo("http://a/", "a"))
	require.NoError(t, q.Close())
	db, err := openDatabase(t.Context(), dsn(path, "rw"), 1)
	require.NoError(t, err)
	defer db.Close()
	migrateTo := func(steps ...string) error {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		return migrate(t.Context(), conn, append(migrations[:len(migrations):len(migrations)], steps...))
	}
	version := func() (version int) {
		require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version))
		return version
	}
	released := len(migrations)
	good, bad := "ALTER TABLE messages ADD COLUMN priority INTEGER NOT NULL DEFAULT 5", "CREATE TABLE other (a); CREATE TABLE messages (a)"

	assert.ErrorContains(t, migrateTo(bad), fmt.Sprintf("schema version %d", released+1))
	assert.Equal(t, released, version())
	assert.Zero(t, ask[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name = 'other'"), "what a step has done before it failed is undone")
	assert.Error(t, migrateTo(good, bad))
	assert.Equal(t, released+1, version(), "each step counts for itself")
	assert.Equal(t, 5, ask[int](t, path, "SELECT priority FROM messages"))
	require.NoError(t, migrateTo(good, "CREATE TABLE other (a)"))
	assert.Equal(t, released+2, version())
	require.NoError(t, migrateTo(good, "CREATE TABLE other (a)"), "a second time there is nothing to do")
	assert.Equal(t, 1, ask[int](t, path, "SELECT count(*) FROM messages"))
	require.NoError(t, db.Close())

	_, err = Open(t.Context(), path)
	assert.ErrorIs(t, err, ErrNewer)
}

func TestOpenHeedsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, path)
	assert.ErrorIs(t, err, context.Canceled)
	ctx, cancel = context.WithCancel(t.Context())
	q, err := Open(ctx, path)
	require.NoError(t, err)
	defer q.Close()
	cancel() // it bounded Open alone
	enqueue(t, q, messageTo("http://a/", "a"))
	assert.Equal(t, "a", receive(t, q).Message().ID)
}

// The time of the last run goes on when the wall clock was set back.
func TestClockGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path)
	enqueue(t, q, messageTo("http://a/", "a"))
	require.NoError(t, q.Close())
	tomorrow := time.Now().Add(24 * time.Hour).UnixMilli()
	change(t, path, "UPDATE clock SET now_at = ?", tomorrow)
	change(t, path, "UPDATE messages SET due_at = ?", tomorrow)
	q = openQueue(t, path)
	assert.GreaterOrEqual(t, q.clock.now(), tomorrow)
	assert.Equal(t, "a", receive(t, q).Message().ID)
}

// Open's time and memory grow with the number of endpoints alone.
func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint("endpoints=", n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "queue.db")
			q := openQueue(b, path)
			var msgs []*signpost.Message
			for i := range n {
				msgs = append(msgs, messageTo(fmt.Sprintf("https://host%d.example/hooks/%d", i/10, i), fmt.Sprint(i)))
			}
			enqueue(b, q, msgs...)
			require.NoError(b, q.Close())
			msgs = nil
			var before, after runtime.MemStats
			b.ReportAllocs()
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				q := openQueue(b, path)
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/endpoint")
				require.NoError(b, q.Close())
			}
		})
	}
}
