package kafka

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/internal/broker"
)

var ctx = context.Background()

// patience bounds what a test waits for. It is no measure of anything: a test that reaches it has failed.
const patience = 60 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// given are the brokers that tests use instead of one of their own.
var given = os.Getenv("SIGNPOST_TEST_KAFKA_BROKERS")

// shared is the server that all tests use that don't harm it. It is started by the first.
var shared struct {
	once   sync.Once
	dir    string
	server *broker.Server
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	before := runtime.NumGoroutine()
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // and ended by a signal, for which a goroutine waits
	if n := runtime.NumGoroutine(); code == 0 && n > before && !fuzzing {
		fmt.Fprintf(os.Stderr, "%d goroutines were left by the tests\n", n-before)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		code = 1
	}
	os.Exit(code)
}

// sharedBrokers returns the addresses of brokers that a test must not harm.
func sharedBrokers(t testing.TB) []string {
	t.Helper()
	if given != "" {
		return strings.Split(given, ",")
	}
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "signpost-kafka-"); shared.err == nil {
			shared.server, shared.err = broker.StartKafka(shared.dir, nil)
		}
	})
	skipIfMissing(t, shared.err)
	return []string{shared.server.Address()}
}

func skipIfMissing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, broker.ErrMissing) {
		t.Skipf("%v; or set SIGNPOST_TEST_KAFKA_BROKERS", err)
	}
	require.NoError(t, err)
}

// ownBroker starts a server that a test may harm.
func ownBroker(t testing.TB, properties map[string]string) *broker.Server {
	t.Helper()
	s, err := broker.StartKafka(t.TempDir(), properties)
	skipIfMissing(t, err)
	t.Cleanup(func() {
		assert.NoError(t, s.Stop())
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	return s
}

var prefixes struct {
	sync.Mutex
	n int
}

// newPrefix returns a prefix that no other test has, in this run or another one.
func newPrefix() string {
	prefixes.Lock()
	defer prefixes.Unlock()
	prefixes.n++
	return fmt.Sprintf("test-%d-%d", time.Now().UnixNano(), prefixes.n)
}

// openQueue opens a queue that is closed with the test, if not before.
func openQueue(t testing.TB, brokers []string, prefix string, opts ...Option) *Queue {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q, err := Open(within, brokers, append([]Option{WithPrefix(prefix), WithPartitions(3), WithLogger(logTo(t))}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	return q
}

// logTo is a logger whose lines come with the test, if that fails.
func logTo(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
