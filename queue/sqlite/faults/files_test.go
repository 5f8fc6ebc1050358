package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/queue/sqlite"
)

// files are faults of the path, and of what is found there.
var files = []fault{
	{"a file of a newer schema", "Open returns `ErrNewer` and leaves the file as it is.", newerSchema},
	{"another application's database", "Open returns `ErrNotQueue` and leaves the file as it is.", anotherDatabase},
	{"a file that is no database", "The same.", noDatabase},
	{"a path that is a folder", "Open returns an error that names it.", pathIsFolder},
	{"a path in a folder that is missing", "The same. Open makes no folders.", noFolder},
	{"a path with characters that mean something", "They mean nothing: the file is named as the path says.", strangeNames},
	{"a file that is deleted under a running queue",
		"`Send` returns an error: what was written would be gone. What has been read goes out; a new Open makes a new file.", deleted},
	{"a file that is replaced under a running queue", "The same. A new Open opens the file that is there.", replaced},
	{"a message that somebody has changed by hand", "It is put aside as damaged, and holds up no other.", changedByHand},
}

func newerSchema(t *testing.T) {
	path := oneMessage(t)
	db := openRaw(t, path)
	_, err := db.Exec("PRAGMA user_version = 1000")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	refusesAndLeaves(t, path, sqlite.ErrNewer, "1000")
}

// oneMessage makes a file in which a message is pending.
func oneMessage(t *testing.T) (path string) {
	path = newPath(t)
	q := newQueue(t, path)
	require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", "m", 100)))
	require.NoError(t, q.Close())
	return path
}

// refusesAndLeaves asserts that Open returns an error, which says something, and leaves the file as it is.
func refusesAndLeaves(t *testing.T, path string, want error, says string) {
	t.Helper()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = sqlite.Open(ctx, path)
	require.ErrorIs(t, err, want)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, says)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after), "the file has changed")
}

func anotherDatabase(t *testing.T) {
	for _, statement := range []string{
		"CREATE TABLE customers (name TEXT)", // and no application_id
		"CREATE TABLE messages (id TEXT)",
		"PRAGMA application_id = 42",
		"PRAGMA user_version = 1",
	} {
		path := newPath(t)
		db := openRaw(t, path)
		_, err := db.Exec(statement)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		refusesAndLeaves(t, path, sqlite.ErrNotQueue, "a file of its own")
	}
}

func noDatabase(t *testing.T) {
	for _, content := range []string{"hello", fmt.Sprintf("%5000s", "hello"), "SQLite format 2\x00" + fmt.Sprintf("%5000s", "")} {
		path := newPath(t)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		refusesAndLeaves(t, path, sqlite.ErrNotQueue, "")
	}
}

func pathIsFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err := sqlite.Open(ctx, path)
	require.ErrorContains(t, err, path)
	t.Log(err)
}

func noFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "queue.db")
	_, err := sqlite.Open(ctx, path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)
	require.NoDirExists(t, filepath.Dir(path))
}

func strangeNames(t *testing.T) {
	if !isChild() { // since a folder to work in is the whole process's
		newChildOf(t).passes()
		return
	}
	obeyParent(func() { os.Exit(3) })
	dir := setting[string](t)
	require.NoError(t, os.Chdir(dir))
	for _, name := range []string{
		"a queue.db", "100%.db", "%41.db", "a?b=c&mode=memory", "a#b", "żółw–🐢.db", "-queue", "'quoted'\"; DROP TABLE", "+", "a\\b",
		"a\nb", "~", "no-suffix",
	} {
		q, err := sqlite.Open(ctx, name)
		require.NoError(t, err, name)
		works(t, q)
		require.FileExists(t, filepath.Join(dir, name))
		require.NoError(t, q.Close())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		var left []string
		for _, e := range entries {
			left = append(left, e.Name())
			require.NoError(t, os.Remove(e.Name()))
		}
		require.ElementsMatch(t, []string{name, name + ".lock"}, left, "Close leaves nothing else")
	}
	for _, name := range []string{"", ":memory:", "file:queue.db", "a\x00b"} {
		_, err := sqlite.Open(ctx, name)
		require.ErrorContains(t, err, fmt.Sprintf("%q", name))
	}
}

func deleted(t *testing.T) {
	path := oneMessage(t)
	q := newQueue(t, path)
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		require.NoError(t, os.Remove(name))
	}
	err := q.Enqueue(ctx, newMessage("https://a.example", "late", 100))
	require.ErrorContains(t, err, path)
	t.Log(err)
	rightOrError(t, q)
	require.NoError(t, q.Close())
	q = newQueue(t, path)
	works(t, q)
}

func replaced(t *testing.T) {
	path := oneMessage(t)
	q := newQueue(t, path)
	for i := range 50 {
		require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", fmt.Sprint("x", i), 100)))
	}
	another := oneMessage(t)
	other := newQueue(t, another)
	for i := range 50 {
		require.NoError(t, other.Enqueue(ctx, newMessage("https://b.example", fmt.Sprint("y", i), 100)))
	}
	require.NoError(t, other.Close())
	require.NoError(t, os.Rename(another, path))
	err := q.Enqueue(ctx, newMessage("https://a.example", "late", 100))
	require.ErrorContains(t, err, path)
	rightOrError(t, q)
	q.Close() // there is nothing to write to
	for _, suffix := range []string{"-wal", "-shm"} {
		os.Remove(path + suffix) // the old file's
	}
	q = newQueue(t, path)
	assert.Equal(t, 51, pending(t, openRaw(t, path)))
	rightOrError(t, q)
	assert.Zero(t, pending(t, openRaw(t, path)))
}

// rightOrError receives and settles what comes, until nothing does. It must be right; errors may come instead.
func rightOrError(t *testing.T, q *sqlite.Queue) {
	t.Helper()
	var errs []error
	defer func() { t.Log(errors.Join(errs...)) }()
	for range 100 {
		short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		l, err := q.Receive(short)
		cancel()
		if err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return
			}
			errs = append(errs, err)
			continue
		}
		m := l.Message()
		host, _, _ := strings.Cut(strings.TrimPrefix(m.URL, "https://"), "/")
		want := newMessage("https://"+host, m.ID, 100)
		want.CreatedAt = m.CreatedAt
		require.NoError(t, checkMessage(want, m))
		if err := settle(l); err != nil && len(errs) == 0 {
			errs = append(errs, err)
		}
	}
}

// changedByHand changes messages so that what is in a column isn't what belongs there.
func changedByHand(t *testing.T) {
	for _, change := range []string{
		"attempts = 'x'", "due_at = 'x'", "due_at = 0.5", "created_at = 1", "checksum = 'x'", "checksum = 0",
		"redelivered_at = 0", "redelivered_at = 'x'",
		"payload = x'00'", "payload = ''", "header = 'X-Check'", "header = ''", "url = 'https://b.example/'", "id = 'another'", "id = x'ff'",
	} {
		path := newPath(t)
		q := newQueue(t, path)
		for i := range 3 { // for one endpoint
			m := newMessage("https://a.example", fmt.Sprint("m", i), 100)
			m.URL = "https://a.example/"
			require.NoError(t, q.Enqueue(ctx, m))
		}
		require.NoError(t, q.Close())
		db := openRaw(t, path)
		_, err := db.Exec("UPDATE messages SET " + change + " WHERE id = 'm1'")
		require.NoError(t, err)
		q = newQueue(t, path)
		for range 2 {
			require.Contains(t, []string{"m0", "m2"}, receiveOne(t, q).Message().ID, change)
		}
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err = q.Receive(short)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, change)
		works(t, q) // and by then the writer has put it aside
		var state string
		require.NoError(t, db.QueryRow("SELECT state FROM messages WHERE number = 2").Scan(&state))
		require.Equal(t, "damaged", state, change)
		require.NoError(t, q.Close())
		require.NoError(t, db.Close())
	}
}
