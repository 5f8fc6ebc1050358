package signposttest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftovers(); code == 0 && left != "" {
		fmt.Println("goroutines left behind:\n" + left)
		code = 1
	}
	os.Exit(code)
}

// leftovers returns the stacks of the goroutines that serve or send and don't end within two seconds:
// net/http's outlive by a moment the closing of their connection.
func leftovers() string {
	timeout := time.After(2 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		buf := make([]byte, 1<<20)
		var left []string
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "net/http.") || strings.Contains(stack, "signpost.(*Dispatcher)") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
		select {
		case <-timeout:
			return strings.Join(left, "\n\n")
		case <-tick.C:
		}
	}
}

// A fakeT is a test that is allowed to fail. What a Receiver doesn't use of testing.TB isn't there.
type fakeT struct {
	testing.TB
	deadline time.Time

	mu       sync.Mutex // protects the following fields
	failures []string
	cleanups []func()
	ended    bool
}

// run runs f as a test until it returns or is ended by a failure, and then its cleanups.
func (t *fakeT) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
}

func (t *fakeT) fail(message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		panic("failure after the test has ended: " + message)
	}
	t.failures = append(t.failures, message)
}

func (t *fakeT) failed() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.failures...)
}

func (t *fakeT) Helper() {}

func (t *fakeT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *fakeT) Errorf(format string, args ...any) { t.fail(fmt.Sprintf(format, args...)) }

func (t *fakeT) Fatal(args ...any) {
	t.fail(fmt.Sprint(args...))
	runtime.Goexit()
}

func (t *fakeT) Fatalf(format string, args ...any) { t.Fatal(fmt.Sprintf(format, args...)) }

func (t *fakeT) Deadline() (time.Time, bool) { return t.deadline, !t.deadline.IsZero() }

// newDispatcher returns a dispatcher that retries after a millisecond, and what its observer is told.
func newDispatcher(t *testing.T, opts ...signpost.Option) (*signpost.Dispatcher, <-chan signpost.Outcome) {
	t.Helper()
	outcomes := make(chan signpost.Outcome, 1000)
	d, err := signpost.New(append([]signpost.Option{
		signpost.WithRetryPolicy(signpost.RetryPolicy{BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) }}),
		signpost.WithRateLimit(rate.Inf, 0),
		signpost.WithLogger(slog.New(slog.DiscardHandler)),
		signpost.WithObserver(func(_ context.Context, _ *signpost.Message, o signpost.Outcome) { outcomes <- o }),
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d, outcomes
}

func newSender(t *testing.T, opts ...signpost.Option) *signpost.Sender {
	t.Helper()
	s, err := signpost.NewSender(opts...)
	require.NoError(t, err)
	return s
}

// keepTransport is an option that keeps the transport of a Sender, which has no Close, so that the test can
// close its connections.
func keepTransport(t *testing.T) signpost.Option {
	return signpost.WithTransport(func(next http.RoundTripper) http.RoundTripper {
		t.Cleanup(next.(*http.Transport).CloseIdleConnections)
		return next
	})
}
