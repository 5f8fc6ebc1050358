package faults

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// childVariable tells this test binary what to do when it is started again: to run the one test in a process of its own,
// with the setting that stands in it.
const childVariable = "SIGNPOST_DURABLE_FAULTS_CHILD"

func isChild() bool { return os.Getenv(childVariable) != "" }

// setting reads what the parent has passed.
func setting[T any](t *testing.T) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(os.Getenv(childVariable)), &v))
	return v
}

// A child is the running test alone, in a process of its own. It is told to end by the end of its standard input, which comes
// with the end of this process too, whatever ends it.
type child struct {
	*exec.Cmd
	t     *testing.T
	stdin io.Closer
	words *bufio.Reader // its standard output
	mu    sync.Mutex    // protects out
	out   bytes.Buffer  // all that it says
}

// newChild prepares a child that runs below the programs of wrap, strace for one.
func newChild(t *testing.T, setting any, wrap ...string) *child {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	value, err := json.Marshal(setting)
	require.NoError(t, err)
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	args := append(wrap, program, "-test.run="+strings.Join(parts, "/"), "-test.v", "-test.timeout="+(2*patience).String())
	c := &child{t: t, Cmd: exec.CommandContext(t.Context(), args[0], args[1:]...)}
	race := "GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE") // or the child's end takes a second
	c.Env = append(os.Environ(), childVariable+"="+string(value), race)
	c.Stderr = &said{c}
	c.stdin, err = c.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.StdoutPipe()
	require.NoError(t, err)
	c.words = bufio.NewReader(io.TeeReader(stdout, c.Stderr))
	return c
}

// newChildOf starts the test in a process of its own, with a folder.
func newChildOf(t *testing.T) *child {
	t.Helper()
	c := newChild(t, t.TempDir())
	c.start()
	return c
}

// said is where a child's output goes.
type said struct{ c *child }

func (s *said) Write(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.out.Write(p)
}

func (c *child) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *child) start() {
	c.t.Helper()
	require.NoError(c.t, c.Start())
}

// hears waits until the child has said a word, on a line of its own.
func (c *child) hears(word string) {
	c.t.Helper()
	for {
		line, err := c.words.ReadString('\n')
		require.NoError(c.t, err, "the child has ended without %q: %s", word, &c.out)
		if strings.TrimSpace(line) == word {
			return
		}
	}
}

// wait waits for the child's end.
func (c *child) wait() error {
	_, err := io.Copy(io.Discard, c.words)
	if err != nil {
		return err
	}
	return c.Wait()
}

// kill ends the child with SIGKILL. A child that has ended by itself before has failed.
func (c *child) kill() {
	c.t.Helper()
	c.Process.Kill()
	c.wait()
	require.False(c.t, c.ProcessState.Exited(), "the child has ended by itself: %s", c.output())
}

// passes waits for the child's end, which must be that of a test that has passed. It returns what the child has said.
func (c *child) passes() string {
	c.t.Helper()
	require.NoError(c.t, c.wait(), "%s", c.output())
	require.Contains(c.t, c.output(), "--- PASS: "+c.t.Name())
	return c.output()
}

// obeyParent calls end when the parent wants the child to end, or has ended.
func obeyParent(end func()) {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		end()
	}()
}

// say says a word to the parent.
func say(word string) { os.Stdout.WriteString(word + "\n") }
