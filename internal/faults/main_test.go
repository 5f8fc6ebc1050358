package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/internal/leak"
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
	// A dial may outlast its attempt, and its dispatcher, by as long as it may take.
	if left := leak.Goroutines(patience); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
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
