package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenRefusesPath(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	for _, tt := range []struct{ name, path, says string }{
		{"empty", "", "give the name of a file"},
		{"memory", ":memory:", "give the name of a file"},
		{"URI", "file:a.db?mode=memory", "give the name of a file"},
		{"zero byte", "a\x00b", "zero byte"},
		{"no folder", filepath.Join(dir, "missing", "queue.db"), "no such file"},
		{"loop of links", filepath.Join(dir, "loop"), "loop"},
		{"folder", dir, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(t.Context(), tt.path)
			require.Error(t, err)
			assert.ErrorContains(t, err, tt.says)
			assert.Regexp(t, "^sqlite: ", err.Error())
		})
	}
}

// A file may have any name that the system allows; none is an instruction.
func TestOpenOddNames(t *testing.T) {
	for _, name := range []string{
		"a b", "a?mode=ro", "a#b", "100%", "a%41", "a%00", "a&b=c;d", "ü", "a'b\"c", "a\nb", "-", "..a", "a\\b", "a:b", "\xff",
	} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			q := openQueue(t, path)
			enqueue(t, q, messageTo("http://a/", "a"))
			info, err := os.Stat(path)
			require.NoError(t, err)
			assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "its owner's alone")
			require.NoError(t, q.Close())
			q = openQueue(t, path)
			assert.Equal(t, "a", receive(t, q).Message().ID)
			entries, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			assert.Len(t, entries, 4, "the file, -wal, -shm and .lock")
		})
	}
}

// Whatever its name, a file has one queue at a time.
func TestOpenLocks(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "linked")))
	path := filepath.Join(dir, "real", "queue.db")
	for name, target := range map[string]string{"absolute.db": path, "relative.db": "real/queue.db", "twice.db": "relative.db"} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	t.Chdir(dir)
	names := []string{path, "real/queue.db", "linked/queue.db", "./real/../real//queue.db", "absolute.db", "relative.db", "twice.db"}
	for _, first := range names {
		t.Run(first, func(t *testing.T) {
			require.NoError(t, errors.Join(os.RemoveAll("real"), os.Mkdir("real", 0o700)))
			for range 2 { // when the file is made, and when it is there
				q := openQueue(t, first)
				for _, second := range names {
					_, err := Open(t.Context(), second)
					assert.ErrorIs(t, err, ErrLocked, second)
					assert.ErrorContains(t, err, fmt.Sprintf("process %d (", os.Getpid()))
				}
				require.NoError(t, q.Close())
			}
		})
	}
}

// The lock holds even if nobody could write down whose it is.
func TestLockWithoutName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	openQueue(t, path)
	require.NoError(t, os.Truncate(path+".lock", 0))
	_, err := Open(t.Context(), path)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, "another process")
}

// An Open that fails leaves nothing open.
func TestOpenFailsCleanly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	require.NoError(t, os.WriteFile(path, []byte("this is something else, and long enough to be read as a header"), 0o600))
	goroutines := runtime.NumGoroutine()
	for range 20 {
		_, err := Open(t.Context(), path)
		require.ErrorIs(t, err, ErrNotQueue)
	}
	for runtime.NumGoroutine() > goroutines { // those of database/sql end by themselves
		runtime.Gosched()
	}
	require.NoError(t, os.Remove(path))
	openQueue(t, path)
}

func TestDSN(t *testing.T) {
	for _, tt := range []struct{ path, want string }{
		{"/a/b.db", "file:///a/b.db?"},
		{"/a b?c#d%.db", "file:///a%20b%3Fc%23d%25.db?"},
		{"C:/a.db", "file:///C:/a.db?"},
	} {
		assert.Contains(t, dsn(tt.path, "rw", "a(1)", "b(2)"), tt.want)
	}
	assert.Contains(t, dsn("/a", "rw", "a(1)", "b(2)"), "_pragma=a%281%29&_pragma=b%282%29", "in order")
}
