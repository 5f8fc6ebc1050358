package faults

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// withMounts runs the test in a process of its own that may mount file systems, which go with it.
func withMounts(t *testing.T, test func(t *testing.T, dir string)) {
	if isChild() {
		obeyParent(func() { os.Exit(3) })
		test(t, setting[string](t))
		return
	}
	c := newChild(t, t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := c.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENOSPC) {
			t.Skipf("mounts are made in a namespace of their own, and none may be had here: %v", err)
		}
		require.NoError(t, err)
	}
	c.passes()
}

// mount puts a small file system in memory at dir.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// enlarge makes space.
func enlarge(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=200m"))
}

func diskFull(size string, payload int) func(*testing.T) {
	return func(t *testing.T) {
		withMounts(t, func(t *testing.T, dir string) {
			mount(t, dir, size)
			full(t, dir+"/queue.db", payload, sqlite.ErrFull, func() { enlarge(t, dir) })
		})
	}
}

// full fills what there is of space and makes some, while a dispatcher is at work.
func full(t *testing.T, path string, payload int, want error, free func()) {
	q := newQueue(t, path)
	secret := signpost.NewSecret()
	var held atomic.Bool
	held.Store(true)
	letGo := make(chan struct{})
	r := newReceiver(t, secret, func(string) int {
		if held.Load() {
			<-letGo
		}
		return 200
	})
	d := newDispatcher(t, q, secret)
	var accepted []string
	send := func(size int) error {
		m := newMessage(r.URL, fmt.Sprint("m", len(accepted)), size)
		err := d.Enqueue(ctx, m)
		if err == nil {
			accepted = append(accepted, m.ID)
		}
		return err
	}
	var err error
	for err == nil { // with its first messages in flight
		require.Less(t, len(accepted), 100_000)
		err = send(payload)
	}
	if want != nil {
		require.ErrorIs(t, err, want)
	}
	require.ErrorContains(t, err, path)
	for range 10 {
		require.Error(t, send(payload), "it stays full")
	}
	for send(0) == nil { // and what is smaller fits until it doesn't
	}
	held.Store(false)
	close(letGo)
	delivered := min(len(accepted), 200) // while none of them can be settled
	for id, n := range r.wait(delivered) {
		require.Equal(t, 1, n, id)
	}

	free()
	assert.EventuallyWithT(t, func(c *assert.CollectT) { assert.NoError(c, send(payload)) }, patience, 20*time.Millisecond)
	came := r.wait(len(accepted))
	db := openRaw(t, path)
	drained(t, db)
	for _, id := range accepted {
		assert.Equal(t, 1, came[id], "message %s arrives once", id)
	}
	require.NoError(t, d.Close())
	require.NoError(t, q.Close())
	var ended int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM messages WHERE state = 'delivered'").Scan(&ended))
	assert.Equal(t, len(accepted), ended, "what was refused is not there")
	isSound(t, db)
	t.Logf("%d messages were accepted, %d were delivered while the disk was full", len(accepted), delivered)
}

func diskFullAtOpen(t *testing.T) {
	withMounts(t, func(t *testing.T, dir string) {
		mount(t, dir, "2m")
		path := dir + "/queue.db"
		fill := func() {
			f, err := os.Create(dir + "/ballast")
			require.NoError(t, err)
			defer f.Close()
			for err == nil {
				_, err = f.Write(make([]byte, 4096))
			}
			require.ErrorIs(t, err, syscall.ENOSPC)
		}
		fill()
		_, err := sqlite.Open(ctx, path)
		require.ErrorIs(t, err, sqlite.ErrFull)
		require.ErrorContains(t, err, path)
		require.NoError(t, os.Remove(dir+"/ballast"))
		q := newQueue(t, path)
		works(t, q)
		require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", "m", 10)))
		require.NoError(t, q.Close())

		fill()
		_, err = sqlite.Open(ctx, path)
		require.ErrorIs(t, err, sqlite.ErrFull)
		require.NoError(t, os.Remove(dir+"/ballast"))
		q = newQueue(t, path)
		require.Equal(t, "m", receiveOne(t, q).Message().ID)
	})
}

// fileLimit needs no mount: a process may have its files limited.
func fileLimit(t *testing.T) {
	if !isChild() {
		newChildOf(t).passes()
		return
	}
	obeyParent(func() { os.Exit(3) })
	path := setting[string](t) + "/queue.db"
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	was := limit.Cur
	limit.Cur = 2 << 20
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	full(t, path, 8<<10, nil, func() {
		limit.Cur = was
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	})
}

// nobody is a user who owns nothing.
const nobody = 65534

// asNobody runs the test in a process of its own whose user is nobody, for whom permissions count. Its folder is open to all.
func asNobody(t *testing.T, test func(t *testing.T, dir string)) {
	if !isChild() {
		dir, err := os.MkdirTemp("", "") // the test's own folder is closed to others
		require.NoError(t, err)
		t.Cleanup(func() { os.RemoveAll(dir) })
		require.NoError(t, os.Chmod(dir, 0o777))
		q := newQueue(t, dir+"/queue.db")
		works(t, q)
		require.NoError(t, q.Close())
		c := newChild(t, dir)
		c.start()
		c.passes()
		return
	}
	obeyParent(func() { os.Exit(3) })
	test(t, setting[string](t))
}

// become drops root's rights, if this is root.
func become(t *testing.T, user int) {
	t.Helper()
	if os.Getuid() == 0 {
		require.NoError(t, syscall.Setgroups(nil))
		require.NoError(t, syscall.Setgid(user))
		require.NoError(t, syscall.Setuid(user))
	}
}

func readOnlyFile(t *testing.T) {
	asNobody(t, func(t *testing.T, dir string) {
		path := dir + "/queue.db"
		require.NoError(t, os.Remove(path+".lock"))
		require.NoError(t, os.Chmod(path, 0o444))
		become(t, nobody)
		refusesReadOnly(t, path)
	})
}

func readOnlyFolder(t *testing.T) {
	asNobody(t, func(t *testing.T, dir string) {
		path := dir + "/queue.db"
		require.NoError(t, os.Chmod(path, 0o666))
		require.NoError(t, os.Chmod(path+".lock", 0o666))
		require.NoError(t, os.Chmod(dir, 0o555))
		become(t, nobody)
		refusesReadOnly(t, path)
		refusesReadOnly(t, dir+"/another.db")
	})
}

func readOnlyFileSystem(t *testing.T) {
	withMounts(t, func(t *testing.T, dir string) {
		mount(t, dir, "4m")
		path := dir + "/queue.db"
		q := newQueue(t, path)
		works(t, q)
		require.NoError(t, q.Close())
		require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		refusesReadOnly(t, path)
		refusesReadOnly(t, dir+"/another.db")
		require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""))
		works(t, newQueue(t, path))
	})
}

func refusesReadOnly(t *testing.T, path string) {
	t.Helper()
	_, err := sqlite.Open(ctx, path)
	require.ErrorIs(t, err, sqlite.ErrReadOnly)
	require.ErrorContains(t, err, path)
	t.Log(err)
}
