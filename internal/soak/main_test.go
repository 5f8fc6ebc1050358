package main

import (
	"io"
	"log"
	"os"
	"testing"
)

// TestMain is the receivers' process where a soak has started this program as such.
func TestMain(m *testing.M) {
	if os.Getenv(receiversEnv) != "" {
		os.Exit(receivers(os.Stdin, os.Stdout))
	}
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}
