package faults

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

var ctx = context.Background()

// patience bounds what a test waits for. It is no measure of anything: a test that reaches it has failed.
const patience = 60 * time.Second

var quiet = slog.New(slog.DiscardHandler)

var seed = flag.Uint64("seed", 0, "what random faults begin with; 0: something new each time")

// TestMain fails the run if a goroutine of the library is left after the tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	if !isChild() {
		fmt.Printf("-seed %d\n", *seed) // here, since a log is lost with a process that crashes
	}
	code := m.Run()
	if code == 0 {
		if left := leftGoroutines(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// newRand returns a source that gives the same to the same test under the same seed.
func newRand(t *testing.T) *rand.Rand {
	var name uint64
	for _, c := range []byte(t.Name()) {
		name = name*31 + uint64(c)
	}
	t.Logf("run with -seed %d", *seed)
	return rand.New(rand.NewPCG(*seed, name))
}

// leftGoroutines waits for goroutines that are about to end, and returns the stacks of those that stay.
func leftGoroutines() string {
	var left []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
			if strings.Contains(stack, "signpost-go/signpost") && !strings.Contains(stack, "faults.obeyParent") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}
