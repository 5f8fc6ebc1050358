package sqlite

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenLogRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	database := func(name string, statements ...string) string {
		path := filepath.Join(dir, name)
		for _, s := range statements {
			raw(t, path, s)
		}
		return path
	}
	queue := func(name, statement string) string {
		path := filepath.Join(dir, name)
		q, err := Open(t.Context(), path)
		require.NoError(t, err)
		require.NoError(t, q.Close())
		raw(t, path, statement)
		return path
	}
	cut := queue("cut", "PRAGMA user_version")
	require.NoError(t, os.Truncate(cut, 5000))
	for name, c := range map[string]struct {
		path string
		is   error
		says string
	}{
		"missing file":   {filepath.Join(dir, "missing"), fs.ErrNotExist, "missing"},
		"missing folder": {filepath.Join(dir, "none", "missing"), fs.ErrNotExist, "none"},
		"folder":         {dir, ErrNotQueue, "no regular file"},
		"no path":        {"", nil, `path ""`},
		"empty file":     {file("empty", ""), ErrNotQueue, "is empty"},
		"text":           {file("text", strings.Repeat("a shopping list\n", 100)), ErrNotQueue, "text"},
		"something else": {database("else", "CREATE TABLE a (b)"), ErrNotQueue, "1 tables"},
		"newer":          {queue("newer", "PRAGMA user_version = 99"), ErrNewer, "version 99"},
		"older":          {queue("older", "PRAGMA user_version = 0"), nil, "open the queue with this program once"},
		"truncated":      {cut, ErrDamaged, "cut"},
	} {
		t.Run(name, func(t *testing.T) {
			_, before := os.Stat(c.path)
			l, err := OpenLog(t.Context(), c.path)
			require.Nil(t, l)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "sqlite: ")
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			_, after := os.Stat(c.path)
			require.Equal(t, before, after)
		})
	}
}

func TestOpenLogBesideAQueueAndWithout(t *testing.T) {
	q, path := openLogged(t)
	l, err := OpenLog(t.Context(), path)
	require.NoError(t, err)
	enqueued(t, q, "msg_1")
	require.Equal(t, "msg_1", idsOf(collected(t, l.Messages(t.Context(), Filter{State: Pending}))))
	ended(t, q, 1, delivered)
	require.Equal(t, "msg_1", idsOf(collected(t, l.Messages(t.Context(), Filter{State: Delivered}))))
	require.NoError(t, q.Close())
	require.Equal(t, "msg_1", idsOf(collected(t, l.Messages(t.Context(), Filter{}))))
	require.NoError(t, l.Close())

	l, err = OpenLog(t.Context(), path) // nobody has it open
	require.NoError(t, err)
	require.Equal(t, "msg_1", idsOf(collected(t, l.Messages(t.Context(), Filter{}))))
	_, err = l.reader.log.ExecContext(t.Context(), "DELETE FROM messages")
	require.ErrorIs(t, explain("write", err), ErrReadOnly)
	q, err = Open(t.Context(), path, quiet)
	require.NoError(t, err)
	enqueued(t, q, "msg_2")
	require.Equal(t, "msg_1 msg_2", idsOf(collected(t, l.Messages(t.Context(), Filter{}))))
	require.NoError(t, q.Close())
	require.NoError(t, l.Close())
}

// What a crash leaves is in path-wal for the most part, and there is nobody who knows what of it is valid.
func TestOpenLogAfterACrash(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2")
	ended(t, q, 1, gone)
	dir := t.TempDir()
	for _, name := range []string{"queue.db", "queue.db-wal"} {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	l, err := OpenLog(t.Context(), filepath.Join(dir, "queue.db"))
	require.NoError(t, err)
	defer l.Close()
	require.Equal(t, Counts{Pending: 1, Dead: 1}, must(l.Counts(t.Context())))
}

// The log is read in a process of its own, while this one has the queue open and writes.
func TestOpenLogInAnotherProcess(t *testing.T) {
	const variable = "SIGNPOST_TEST_LOG"
	if path := os.Getenv(variable); path != "" {
		l, err := OpenLog(t.Context(), path)
		require.NoError(t, err)
		require.Equal(t, "msg_1 msg_2", idsOf(collected(t, l.Messages(t.Context(), Filter{}))))
		require.Equal(t, Counts{Pending: 1, Delivered: 1}, must(l.Counts(t.Context())))
		require.NoError(t, l.Close())
		_, err = Open(t.Context(), path)
		require.ErrorIs(t, err, ErrLocked)
		return
	}
	q, path := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2")
	ended(t, q, 1, delivered)
	self, err := os.Executable()
	require.NoError(t, err)
	for range 2 { // it leaves everything as it was
		command := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
		command.Env = append(os.Environ(), variable+"="+path)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	ended(t, q, 1, delivered)
}
