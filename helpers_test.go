package signpost_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/leak"
)

// TestMain fails the run if a goroutine of the library is left after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leak.Goroutines(2 * time.Second); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

var ctx = context.Background()

const (
	whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

var quiet = signpost.WithLogger(slog.New(slog.DiscardHandler))

// A world answers requests in memory, so that tests can run in a synctest bubble.
type world struct {
	mu       sync.Mutex
	answer   func(*request) reply
	requests []*request
	open     map[string]int // by host and path
	most     map[string]int
}

type request struct {
	host, path string // path with its query
	header     http.Header
	body       []byte
	at         time.Time
	n          int // how many came to this host and path before
}

type reply struct {
	status     int
	retryAfter string
	takes      time.Duration // hangs forever if negative
	err        error
	body       string
}

func (w *world) transport(http.RoundTripper) http.RoundTripper { return w }

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	r := &request{host: req.URL.Host, path: req.URL.RequestURI(), header: req.Header.Clone(), at: time.Now()}
	r.body, _ = io.ReadAll(req.Body)
	key := r.host + req.URL.Path
	w.mu.Lock()
	if w.open == nil {
		w.open, w.most = map[string]int{}, map[string]int{}
	}
	for _, x := range w.requests {
		if x.host == r.host && x.path == r.path {
			r.n++
		}
	}
	w.requests = append(w.requests, r)
	for _, k := range []string{key, r.host, ""} {
		w.open[k]++
		w.most[k] = max(w.most[k], w.open[k])
	}
	answer := w.answer
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		for _, k := range []string{key, r.host, ""} {
			w.open[k]--
		}
		w.mu.Unlock()
	}()
	var rep reply
	if answer != nil {
		rep = answer(r)
	}
	var done <-chan time.Time
	if rep.takes > 0 {
		timer := time.NewTimer(rep.takes)
		defer timer.Stop()
		done = timer.C
	}
	if rep.takes != 0 {
		select {
		case <-done:
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
	if rep.err != nil {
		return nil, rep.err
	}
	resp := &http.Response{StatusCode: rep.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(rep.body)), ContentLength: int64(len(rep.body))}
	if rep.status == 0 {
		resp.StatusCode = 200
	}
	if rep.retryAfter != "" {
		resp.Header.Set("Retry-After", rep.retryAfter)
	}
	return resp, nil
}

// seen returns the requests so far whose host is the given one.
func (w *world) seen(host string) (rs []*request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if host == "" || r.host == host {
			rs = append(rs, r)
		}
	}
	return rs
}

// now and peak are how many requests are open, at present and at most, for a host, a host and its path, or
// all ("").
func (w *world) now(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open[key]
}

func (w *world) peak(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most[key]
}

func (w *world) set(answer func(*request) reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

// A ledger keeps what observers are told.
type ledger struct {
	mu       sync.Mutex
	outcomes map[string][]signpost.Outcome // by message ID
	at       map[string]time.Time          // of the last one
}

func (l *ledger) observe(_ context.Context, m *signpost.Message, o signpost.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcomes == nil {
		l.outcomes, l.at = map[string][]signpost.Outcome{}, map[string]time.Time{}
	}
	l.outcomes[m.ID] = append(l.outcomes[m.ID], o)
	l.at[m.ID] = time.Now()
}

func (l *ledger) of(id string) []signpost.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]signpost.Outcome(nil), l.outcomes[id]...)
}

// last returns the message's last outcome; its State is 0 if there is none.
func (l *ledger) last(id string) signpost.Outcome {
	if os := l.of(id); len(os) > 0 {
		return os[len(os)-1]
	}
	return signpost.Outcome{}
}

// when returns when the last outcome of a message was observed.
func (l *ledger) when(id string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at[id]
}

// count returns how many messages ended in the given state and reason (nil: any).
func (l *ledger) count(s signpost.State, reason error) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, os := range l.outcomes {
		if o := os[len(os)-1]; o.State == s && (reason == nil || o.Reason == reason) {
			n++
		}
	}
	return n
}

// check fails the test unless every message has ended exactly once.
func (l *ledger) check(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		ends := 0
		for _, o := range l.of(id) {
			if o.State == signpost.Delivered || o.State == signpost.Dead {
				ends++
			}
		}
		require.Equal(t, 1, ends, "endings of message %s: %+v", id, l.of(id))
	}
}

// start returns a dispatcher for tests in a bubble, its world and its ledger. It is closed when the test ends.
func start(t *testing.T, opts ...signpost.Option) (*signpost.Dispatcher, *world, *ledger) {
	t.Helper()
	w, l := &world{}, &ledger{}
	d, err := signpost.New(append([]signpost.Option{
		signpost.WithSecret(whsec), signpost.WithTransport(w.transport), signpost.WithObserver(l.observe), quiet,
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d, w, l
}

func send(t *testing.T, d *signpost.Dispatcher, url string) string {
	t.Helper()
	id, err := d.Send(ctx, url, []byte(`{"hello":"world"}`))
	require.NoError(t, err)
	return id
}

// every is a policy that waits the same time after every attempt.
func every(wait time.Duration) signpost.RetryPolicy {
	return signpost.RetryPolicy{BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(wait) }}
}

// A logBuffer is what a slog handler writes to.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
