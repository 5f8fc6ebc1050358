package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain gives all tests a DNS of their own, and fails the run if a goroutine of the library is left after them.
func TestMain(m *testing.M) {
	if err := names.start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// A Sender has no resolver of its own. It is set here once, before any test can look anything up.
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: names.dial}
	code := m.Run()
	names.close()
	if left := leftGoroutines(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftGoroutines waits for goroutines that are about to end, and returns the stacks of those that stay: a dial may
// outlast its attempt, and its dispatcher, by as long as it may take.
func leftGoroutines() string {
	var left []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
			if strings.Contains(stack, "signpost-go/signpost") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

// childProcess is the running test alone, in a process of its own that has one more variable in its environment.
func childProcess(t *testing.T, key, value string) *exec.Cmd {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program,
		"-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout="+(2*patience).String())
	cmd.Env = append(os.Environ(), key+"="+value)
	return cmd
}
