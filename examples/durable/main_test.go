package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/queue/sqlite"
)

// child is set in the environment of a test binary that is to be the program.
const child = "SIGNPOST_DURABLE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The shop is killed five times while it sells, and once more while it sends again. Nothing that it sold goes unannounced.
func TestKilled(t *testing.T) {
	dir, address := t.TempDir(), freeAddress(t)
	shop := []string{"-dir", dir, "-listen", address, "-pace", "5ms"}
	for i := range 5 {
		out := startShop(t, shop...)
		out.waitFor("delivered", 20+rand.IntN(30))
		out.kill()
		assert.Contains(t, out.text(), "Kill this process with: kill -9", "run %d", i+1)
	}
	out := startShop(t, shop...)
	out.waitFor("dead", 3) // the newsletter's
	out.kill()

	again := startShop(t, append(shop, "-redeliver")...)
	again.waitFor("delivered", 1)
	again.kill()

	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), append(shop, "-redeliver"), &stdout, &stderr), stdout.String())
	assert.Contains(t, stdout.String(), "Nothing is pending any more")

	s, err := openShop(t.Context(), dir)
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.close()) }()
	var sold, announced int
	require.NoError(t, s.db.QueryRowContext(t.Context(), "SELECT count(*), sum(announced) FROM orders").Scan(&sold, &announced))
	assert.GreaterOrEqual(t, announced, sold-1, "the last one may have been stored when the shop died")

	log, err := sqlite.OpenLog(t.Context(), filepath.Join(dir, "outbox.db"))
	require.NoError(t, err)
	defer func() { assert.NoError(t, log.Close()) }()
	states := map[string]sqlite.State{}
	for r, err := range log.Messages(t.Context(), sqlite.Filter{}) {
		require.NoError(t, err)
		states[r.Message.ID] = r.State
		assert.NotEmpty(t, r.Attempts, r.Message.ID)
	}
	for number := 1; number <= announced; number++ {
		for _, r := range receivers {
			id := fmt.Sprintf("order_%d_%s", number, r.name)
			assert.Contains(t, []sqlite.State{sqlite.Delivered, sqlite.Dead}, states[id], id)
		}
	}
}

// Beside a running shop its log can be read, and its outbox can't be taken away.
func TestBesideARunningShop(t *testing.T) {
	shop := []string{"-dir", t.TempDir(), "-listen", freeAddress(t), "-pace", "5ms"}
	out := startShop(t, shop...)
	defer out.kill()
	out.waitFor("dead", 2)

	var list, dead, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), append(shop, "-list"), &list, &stderr))
	assert.Contains(t, list.String(), "order_1_warehouse")
	assert.Regexp(t, `\d+ pending, \d+ delivered, \d+ dead`, list.String())
	require.NoError(t, run(t.Context(), append(shop, "-dead"), &dead, &stderr))
	assert.Contains(t, dead.String(), "_newsletter")
	assert.NotContains(t, dead.String(), "_warehouse")

	err := run(t.Context(), append(shop, "-redeliver"), io.Discard, io.Discard)
	require.ErrorIs(t, err, sqlite.ErrLocked)
	assert.ErrorContains(t, err, fmt.Sprint(out.cmd.Process.Pid))
}

func TestStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	said := writerFunc(func(p []byte) (int, error) {
		if bytes.HasPrefix(p, []byte("delivered")) {
			stop()
		}
		return stdout.Write(p)
	})
	require.NoError(t, run(ctx, []string{"-dir", t.TempDir(), "-listen", freeAddress(t), "-pace", "10ms"}, said, io.Discard))
	assert.Contains(t, stdout.String(), "Closed.")
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestArguments(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"argument":   {[]string{"list"}, `unexpected argument "list"`},
		"two modes":  {[]string{"-list", "-dead"}, "one at a time"},
		"pace":       {[]string{"-pace", "0s"}, "-pace 0s"},
		"no outbox":  {[]string{"-list", "-dir", filepath.Join(t.TempDir(), "none")}, "none"},
		"wrong flag": {[]string{"-lst"}, "-lst"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, run(t.Context(), test.args, io.Discard, io.Discard), test.want)
		})
	}
}

// freeAddress returns an address that nobody else uses.
func freeAddress(t *testing.T) string {
	host := "127.0.0.1"
	if runtime.GOOS == "linux" { // all of 127/8 is there, and connections that others make take their ports from 127.0.0.1
		host = fmt.Sprintf("127.%d.%d.%d", 2+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
	}
	l, err := net.Listen("tcp", host+":0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// A process is the program as a child, and what it has said.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	said  []string
}

func startShop(t *testing.T, args ...string) *process {
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), lines: make(chan string, 10_000)}
	p.cmd.Env = append(os.Environ(), child+"=1")
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.cmd.Stderr = os.Stderr
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	return p
}

// waitFor waits until n lines with the given beginning were printed.
func (p *process) waitFor(beginning string, n int) {
	p.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for n > 0 {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the program ended; it said:\n%s", p.text())
			}
			p.said = append(p.said, line)
			if strings.HasPrefix(line, beginning) {
				n--
			}
		case <-limit.C:
			p.kill()
			p.t.Fatalf("%d more lines with %q did not come; the program said:\n%s", n, beginning, p.text())
		}
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill() // SIGKILL
	for range p.lines {  // to the end, so that Wait may close the pipe
	}
	p.cmd.Wait()
}

func (p *process) text() string { return strings.Join(p.said, "\n") }
