package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/internal/leak"
)

var ctx = context.Background()

// patience bounds what a test waits for. It is no measure of anything: a test that reaches it has failed.
const patience = 60 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// long reports whether the tests are to take their time.
func long() bool { return os.Getenv("SIGNPOST_LONG") == "1" }

// binaries is the folder in which the relay is built.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "relay"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(binaries)
	if left := leak.Goroutines(patience); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// build builds the relay once, with the race detector if the test has it.
var build = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(binaries, "relay")
	args := []string{"build", "-o", binary, "-ldflags", "-X main.version=1.2.3-test"}
	if raceDetector {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return binary, nil
})

// eventually waits until the condition holds.
func eventually(t *testing.T, condition func() bool, what string, args ...any) {
	t.Helper()
	require.Eventually(t, condition, patience, 10*time.Millisecond, append([]any{what}, args...)...)
}
