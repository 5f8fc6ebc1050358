package faults

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/queue/sqlite"
)

// strace returns the command that has system calls of a child go wrong, as strace's -e inject says it: calls, a colon, and what
// happens. It writes the calls down in a file.
func strace(t *testing.T, inject, log string) []string {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is missing, which breaks system calls: install it, with 'apt-get install strace', say")
	}
	if out, err := exec.Command("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=none", "true").CombinedOutput(); err != nil {
		t.Skipf("strace can't trace here: %v: %s", err, out)
	}
	calls, how, _ := strings.Cut(inject, ":")
	cmd := []string{"strace", "-f", "-qq", "-e", "signal=none", "-e", "trace=" + calls, "-e", "inject=" + inject, "-o", log}
	if !strings.HasPrefix(how, "signal") { // which it can't send from a seccomp stop
		cmd = append(cmd, "--seccomp-bpf")
	}
	return cmd
}

// syncs are the calls that wait for the disk, and writes all that change it.
const syncs = "fsync,fdatasync"

var writes = []string{"pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "unlink", "unlinkat"}

// killFirstOpenAtEachCall kills a process that makes a file before its first call that writes, before its second one, and so on.
func killFirstOpenAtEachCall(t *testing.T) {
	if isChild() {
		obeyParent(func() { os.Exit(3) })
		runtime.LockOSThread() // strace counts each thread's calls by themselves
		q, err := sqlite.Open(ctx, setting[string](t))
		require.NoError(t, err)
		require.NoError(t, q.Close())
		return
	}
	killed := killAtCalls(t, func(path, _ string) { opensAnew(t, path) })
	require.Greater(t, killed, 10)
}

const killScriptLength = 4

// killAtEachCall does the same to a process that enqueues and settles.
func killAtEachCall(t *testing.T) {
	if isChild() {
		obeyParent(func() { os.Exit(3) })
		runtime.LockOSThread()
		q, err := sqlite.Open(ctx, setting[string](t))
		require.NoError(t, err)
		for i := range killScriptLength {
			require.NoError(t, q.Enqueue(ctx, newMessage("https://a.example", fmt.Sprint("m", i), 2000)))
			say(fmt.Sprint("accepted m", i))
			if i%2 == 1 { // and there is always one that waits
				l := receiveOne(t, q)
				require.NoError(t, settle(l))
				say("settled " + l.Message().ID)
			}
		}
		require.NoError(t, q.Close())
		return
	}
	killed := killAtCalls(t, func(path, said string) {
		q := newQueue(t, path)
		db := openRaw(t, path)
		isSound(t, db)
		for range pending(t, db) {
			m := receiveOne(t, q).Message()
			want := newMessage("https://a.example", m.ID, 2000)
			want.CreatedAt = m.CreatedAt
			require.NoError(t, checkMessage(want, m))
			require.NotContains(t, said, "settled "+m.ID)
		}
		for line := range strings.Lines(said) {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "accepted "); ok {
				isThere(t, db, id)
			}
		}
		works(t, q)
		require.NoError(t, q.Close())
		require.NoError(t, db.Close())
	})
	require.Greater(t, killed, 20)
}

// killAtCalls kills a child before its first, its second … call of each kind, until it makes no more, and has check look at what
// it has left behind and said. It returns how often it did.
func killAtCalls(t *testing.T, check func(path, said string)) (killed int) {
	for _, call := range writes {
		for n := 1; ; n++ {
			path := newPath(t)
			c := newChild(t, path, strace(t, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n), os.DevNull)...)
			c.start()
			c.wait()
			if c.ProcessState.Exited() {
				require.True(t, c.ProcessState.Success(), "%s", c.output())
				break
			}
			killed++
			check(path, c.output())
		}
	}
	t.Logf("killed at %d calls", killed)
	return killed
}
