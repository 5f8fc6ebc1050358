package kafka

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// childVariable tells this test binary what to do when it is started again: to run the one test in a process of its own,
// with the setting that stands in it.
const childVariable = "SIGNPOST_KAFKA_CHILD"

func isChild() bool { return os.Getenv(childVariable) != "" }

// setting reads what the parent has passed.
func setting[T any](t *testing.T) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(os.Getenv(childVariable)), &v))
	return v
}

// A child is the running test alone, in a process of its own. It is to end with its standard input.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	words *bufio.Reader
}

func startChild(t *testing.T, setting any) *child {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	value, err := json.Marshal(setting)
	require.NoError(t, err)
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), program, "-test.run="+strings.Join(parts, "/"), "-test.timeout=300s")}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(value))
	c.cmd.Stderr = t.Output()
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.words = bufio.NewReader(stdout)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	})
	return c
}

// hears waits until the child has said a word, on a line of its own, and returns what stands behind it.
func (c *child) hears(word string) string {
	c.t.Helper()
	for {
		line, err := c.words.ReadString('\n')
		require.NoError(c.t, err, "the child has ended without %q", word)
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word); ok {
			return strings.TrimSpace(rest)
		}
	}
}

// kill ends the child with SIGKILL.
func (c *child) kill() {
	c.t.Helper()
	require.NoError(c.t, c.cmd.Process.Kill())
	c.cmd.Wait()
}

// hang keeps a child alive until its parent ends it, or has ended.
func hang() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(3)
}
