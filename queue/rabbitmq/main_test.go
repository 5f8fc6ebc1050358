package rabbitmq

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/broker"
	"github.com/signpost-go/signpost/queuetest"
)

// patience bounds what a test waits for. It is no measure of anything: a test that reaches it has failed.
const patience = 60 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// TestMain ends the broker that tests have started, and fails the run if a goroutine is left.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if err := stopBroker(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // and ended by a signal, for which a goroutine waits
	if n := runtime.NumGoroutine(); code == 0 && n > before && !fuzzing {
		stacks := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "%d goroutines were left by the tests\n%s\n", n-before, stacks[:runtime.Stack(stacks, true)])
		code = 1
	}
	os.Exit(code)
}

var shared struct { // the broker of all tests of this package
	start  sync.Once
	server *broker.Server
	err    error
	dir    string
}

// newURL returns the URL of a broker: the one that SIGNPOST_TEST_AMQP_URL names, or one that the tests start.
func newURL(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("SIGNPOST_TEST_AMQP_URL"); url != "" {
		return url
	}
	shared.start.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "signpost-rabbitmq-"); shared.err == nil {
			shared.server, shared.err = broker.StartRabbitMQ(shared.dir, map[string]string{"max_message_size": "4194304"})
		}
	})
	if errors.Is(shared.err, broker.ErrMissing) {
		t.Skipf("%v; or name a broker in SIGNPOST_TEST_AMQP_URL", shared.err)
	}
	require.NoError(t, shared.err)
	return shared.server.Address()
}

func stopBroker() error {
	if shared.dir == "" {
		return nil
	}
	var err error
	if shared.server != nil {
		err = shared.server.Stop()
	}
	return errors.Join(err, os.RemoveAll(shared.dir))
}

var prefixes atomic.Int64

// newPrefix returns a prefix of the test's own. Its queues are deleted with the test.
func newPrefix(t testing.TB, url string) string {
	t.Helper()
	prefix := fmt.Sprintf("test-%d-%d", os.Getpid(), prefixes.Add(1))
	t.Cleanup(func() {
		c, err := newConfig([]Option{WithPrefix(prefix)})
		require.NoError(t, err)
		names := []string{c.ready(), c.dead(), c.held(0), c.held(1)}
		for _, d := range append(c.steps, shortSteps...) {
			names = append(names, c.delay(d))
		}
		admin(t, url, func(ch *amqp.Channel) {
			for _, name := range names {
				_, err := ch.QueueDelete(name, false, false, false) // of none is no error
				assert.NoError(t, err)
			}
		})
	})
	return prefix
}

// shortSteps are a ladder for tests that climb it, on which a minute is as long as 50 ms: 10 s, 1 m, 10 m and 60 m.
var shortSteps = []time.Duration{50 * time.Millisecond / 6, 50 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second}

// admin does something at the broker, as any program might.
func admin(t testing.TB, url string, do func(ch *amqp.Channel)) {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	defer conn.Close()
	ch, err := conn.Channel()
	require.NoError(t, err)
	do(ch)
}

func openQueue(t testing.TB, url, prefix string, opts ...Option) *Queue {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q, err := Open(ctx, url, append([]Option{WithPrefix(prefix), WithLogger(quiet)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	return q
}

func newQueue(t testing.TB, opts ...Option) *Queue {
	t.Helper()
	url := newURL(t)
	return openQueue(t, url, newPrefix(t, url), opts...)
}

func internal(change func(c *config)) Option { return Option(change) }

func TestContract(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		url := newURL(t)
		prefix := newPrefix(t, url)
		return queuetest.Harness{
			Open:    func(t testing.TB) signpost.Queue { return openQueue(t, url, prefix) },
			Late:    time.Second,
			Partial: true,
		}
	})
}

func messageTo(url, id string) *signpost.Message {
	return &signpost.Message{ID: id, URL: url, Payload: []byte(`{}`), CreatedAt: time.Now()}
}

func enqueue(t testing.TB, q *Queue, msgs ...*signpost.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, q.Enqueue(ctx, msgs...))
}

func receive(t testing.TB, q *Queue) signpost.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := q.Receive(ctx)
	require.NoError(t, err)
	return l
}

func settle(t testing.TB, l signpost.Lease, o signpost.Outcome) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, l.Settle(ctx, o))
}

var delivered = signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1, StatusCode: 200}}

// eventually waits for a condition.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, 20*time.Millisecond, what)
}

// A record is a log.
type record struct {
	mu  sync.Mutex
	out strings.Builder
}

func newRecord() (*record, *slog.Logger) {
	r := &record{}
	return r, slog.New(slog.NewTextHandler(io.Writer(r), nil))
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *record) count(s string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.out.String(), s)
}
