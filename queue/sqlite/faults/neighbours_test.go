package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/queue/sqlite"
)

// neighbours are other processes that want the file.
var neighbours = []fault{
	{"a second process",
		"Its Open returns `ErrLocked`, which names the first one. Once that has ended, however it ended, Open works at once.",
		secondProcess},
	{"a second Queue in the same process", "The same.", secondQueue},
	{"a lock file that was left behind", "It means nothing.", leftLock},
	{"two names of one file",
		"Symbolic links are followed: the same as a second process. (Hard links are not found out: don't use any.)", twoNames},
	{"another program that writes for a second", "`Send` waits for it.", anotherWriter},
	{"another program that writes for longer",
		"`Send` returns an error after 5 s, and the next one works once the other program has ended.", longWriter},
	{"another program that reads for a long time", "Work goes on, and path-wal grows until the other program has ended.", longReader},
	{"another program that reads during Open", "Open waits for it, 5 s at most, and works.", readerAtOpen},
}

func secondProcess(t *testing.T) {
	if isChild() {
		obeyParent(func() { os.Exit(3) })
		q, err := sqlite.Open(ctx, setting[string](t))
		require.NoError(t, err)
		require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", "m", 100)))
		say("open")
		select {} // until it is killed
	}
	path := newPath(t)
	c := newChild(t, path)
	c.start()
	c.hears("open")
	for range 3 {
		_, err := sqlite.Open(ctx, path)
		require.ErrorIs(t, err, sqlite.ErrLocked)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, fmt.Sprintf("process %d ", c.Process.Pid))
	}
	c.kill()
	q := newQueue(t, path)
	require.Equal(t, "m", receiveOne(t, q).Message().ID)
}

func secondQueue(t *testing.T) {
	path := newPath(t)
	q := newQueue(t, path)
	_, err := sqlite.Open(ctx, path)
	require.ErrorIs(t, err, sqlite.ErrLocked)
	require.ErrorContains(t, err, fmt.Sprintf("process %d ", os.Getpid()))
	works(t, q) // the other's attempt does it no harm
	require.NoError(t, q.Close())
	works(t, newQueue(t, path))
}

func leftLock(t *testing.T) {
	path := newPath(t)
	require.NoError(t, os.WriteFile(path+".lock", []byte("process 1 (init) on host elsewhere since ever\n"), 0o600))
	works(t, newQueue(t, path))
}

func twoNames(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "queue.db")
	names := []string{
		filepath.Join(elsewhere, "link.db"), filepath.Join(elsewhere, "folder", "queue.db"), dir + "/../" + filepath.Base(dir) + "/queue.db",
	}
	if err := os.Symlink(path, names[0]); err != nil {
		t.Skipf("symbolic links can't be made here: %v", err)
	}
	require.NoError(t, os.Symlink(dir, filepath.Join(elsewhere, "folder")))
	q := newQueue(t, path)
	for _, name := range names {
		_, err := sqlite.Open(ctx, name)
		require.ErrorIs(t, err, sqlite.ErrLocked, name)
	}
	require.NoError(t, q.Close())
	for _, name := range names {
		q := newQueue(t, name)
		works(t, q)
		_, err := sqlite.Open(ctx, path)
		require.ErrorIs(t, err, sqlite.ErrLocked)
		require.NoError(t, q.Close())
	}
}

func anotherWriter(t *testing.T) {
	path := newPath(t)
	q := newQueue(t, path)
	end := write(t, path)
	time.AfterFunc(time.Second, end)
	works(t, q)
}

// write begins a transaction as another program, and returns what ends it.
func write(t *testing.T, path string) (end func()) {
	t.Helper()
	db := openRaw(t, path)
	db.SetMaxOpenConns(1)
	_, err := db.Exec("BEGIN IMMEDIATE")
	require.NoError(t, err)
	return func() {
		_, err := db.Exec("ROLLBACK")
		assert.NoError(t, err)
	}
}

func longWriter(t *testing.T) {
	path := newPath(t)
	q := newQueue(t, path)
	end := write(t, path)
	err := q.Enqueue(ctx, newMessage("https://a.example", "m", 100))
	require.ErrorContains(t, err, "another program holds the file's locks")
	require.ErrorContains(t, err, path)
	end()
	works(t, q)
}

func longReader(t *testing.T) {
	path := newPath(t)
	q := newQueue(t, path)
	works(t, q)
	db := openRaw(t, path)
	tx, err := db.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	count := func() (n int) {
		require.NoError(t, tx.QueryRow("SELECT count(*) FROM messages").Scan(&n))
		return n
	}
	before := count()
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		return info.Size()
	}
	n := 0
	for ; size() < walLimit+walLimit/4; n++ { // beyond where its pages would be brought back
		require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", fmt.Sprint("m", n), 500_000)))
	}
	assert.Equal(t, before, count(), "it sees what was when it began")
	for range n {
		require.NoError(t, settle(receiveOne(t, q)))
	}
	require.NoError(t, tx.Rollback())
	grown := size()
	for i := range n {
		require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", fmt.Sprint("late", i), 100_000)))
	}
	assert.LessOrEqual(t, size(), grown+walLimit/4, "path-wal begins anew")
	require.NoError(t, db.Close())
	require.NoError(t, q.Close())
	assert.NoFileExists(t, path+"-wal")
}

func readerAtOpen(t *testing.T) {
	path := oneMessage(t)
	db := openRaw(t, path)
	tx, err := db.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	var n int
	require.NoError(t, tx.QueryRow("SELECT count(*) FROM messages").Scan(&n))
	q := newQueue(t, path)
	require.Equal(t, "m", receiveOne(t, q).Message().ID)
	works(t, q)
}
