package durable_test

import (
	"os"
	"testing"

	"github.com/signpost-go/signpost/bench/internal/trial"
)

func TestMain(m *testing.M) {
	trial.Main()
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector lets every child sleep for a second at its end
	os.Exit(m.Run())
}
