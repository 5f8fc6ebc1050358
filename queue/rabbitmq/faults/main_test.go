package faults

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/internal/broker"
)

var ctx = context.Background()

// patience bounds what a test waits for. It is no measure of anything: a test that reaches it has failed.
const patience = 90 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// long says that faults last as long as they do in life.
var long = os.Getenv("SIGNPOST_LONG") == "1"

// TestMain ends the broker, and fails the run if a goroutine of the library is left after the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		if dir := os.Getenv("SIGNPOST_KEEP_LOG"); dir != "" { // for whoever looks into a failure
			_ = os.WriteFile(dir, []byte(shared.server.Log()), 0o600)
		}
	}
	if shared.dir != "" {
		if err := os.RemoveAll(shared.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 {
		if left := leftGoroutines(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftGoroutines waits for goroutines that are about to end, and returns the stacks of those that stay.
func leftGoroutines() string {
	var left []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		left = nil
		for _, stack := range strings.Split(string(buf), "\n\n")[1:] {
			if strings.Contains(stack, "signpost-go/signpost") || strings.Contains(stack, "amqp091") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
	}
	return strings.Join(left, "\n\n")
}

var shared struct { // the broker of all tests of this package, which may be killed
	start  sync.Once
	server *broker.Server
	err    error
	dir    string
}

// newBroker returns the broker, which runs.
func newBroker(t testing.TB) *broker.Server {
	t.Helper()
	shared.start.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "signpost-rabbitmq-"); shared.err == nil {
			shared.server, shared.err = broker.StartRabbitMQ(shared.dir, map[string]string{"max_message_size": "4194304"})
		}
	})
	if errors.Is(shared.err, broker.ErrMissing) {
		t.Skip(shared.err)
	}
	require.NoError(t, shared.err)
	return shared.server
}

var prefixes atomic.Int64

func newPrefix() string { return fmt.Sprintf("fault-%d", prefixes.Add(1)) }
