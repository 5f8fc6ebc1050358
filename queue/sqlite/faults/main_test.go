package faults

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/signpost-go/signpost/internal/leak"
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
		if left := leak.Goroutines(patience, "faults.obeyParent"); left != "" {
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
