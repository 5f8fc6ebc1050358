package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// An absentQueue has no messages, and is as healthy as err says.
type absentQueue struct{ err error }

func (q *absentQueue) Enqueue(context.Context, ...*signpost.Message) error { return q.err }
func (q *absentQueue) Close() error                                        { return nil }
func (q *absentQueue) Healthy(context.Context) error                       { return q.err }
func (q *absentQueue) Receive(ctx context.Context) (signpost.Lease, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// newServer returns a server on some port, and what it answers to a request.
func newServer(t *testing.T) (*server, func(method, path string) *http.Response) {
	t.Helper()
	c, err := readConfig(enough("SIGNPOST_LISTEN=127.0.0.1:0"))
	require.NoError(t, err)
	s, err := serve(c, quiet)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	return s, func(method, path string) *http.Response {
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Result()
	}
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func TestProbes(t *testing.T) {
	s, ask := newServer(t)
	assert.Equal(t, 200, ask("GET", "/healthz").StatusCode)
	starts := ask("GET", "/readyz")
	assert.Equal(t, 503, starts.StatusCode)
	assert.Equal(t, "starting\n", body(t, starts))

	q := &absentQueue{}
	d, err := signpost.New(signpost.WithQueue(q), signpost.WithoutSigning(), signpost.WithLogger(quiet))
	require.NoError(t, err)
	defer d.Close()
	s.begin(q, d)
	assert.Equal(t, 200, ask("GET", "/readyz").StatusCode)

	q.err = errors.New("amqp: no connection to broker:5672")
	lost := ask("GET", "/readyz")
	assert.Equal(t, 503, lost.StatusCode, "the queue isn't healthy")
	assert.Equal(t, "amqp: no connection to broker:5672\n", body(t, lost))
	assert.Equal(t, 200, ask("GET", "/healthz").StatusCode, "a relay whose broker is gone isn't killed for it")
	q.err = nil

	s.drain()
	drains := ask("GET", "/readyz")
	assert.Equal(t, 503, drains.StatusCode)
	assert.Equal(t, "draining\n", body(t, drains))
	assert.Equal(t, 200, ask("GET", "/healthz").StatusCode)
}

func TestServesNothingElse(t *testing.T) {
	s, ask := newServer(t)
	for _, path := range []string{"/healthz", "/readyz", "/stats"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			assert.Equal(t, 405, ask(method, path).StatusCode, "%s %s", method, path)
		}
	}
	assert.Equal(t, 404, ask("GET", "/").StatusCode)
	assert.Equal(t, 404, ask("GET", "/healthz/").StatusCode)
	assert.NotZero(t, s.http.ReadHeaderTimeout)
	assert.NotZero(t, s.http.ReadTimeout)
	assert.NotZero(t, s.http.WriteTimeout)
	assert.NotZero(t, s.http.IdleTimeout)
}

// The names in /stats are what dashboards are made of.
func TestStatsHaveStableNames(t *testing.T) {
	s, ask := newServer(t)
	counts := []string{"accepted", "attempts", "bytes", "dead", "delivered", "hosts", "in_flight", "panics", "queued", "retries", "waiting"}
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(body(t, ask("GET", "/stats"))), &got))
	assert.Equal(t, []string{"dispatcher", "hosts", "prefix", "queue", "relays", "state", "version"}, names(got))
	assert.Equal(t, "starting", got["state"])
	assert.Equal(t, "amqp://broker:5672/hooks", got["queue"], "without user and password")
	assert.Equal(t, counts, names(got["dispatcher"].(map[string]any)))
	assert.Equal(t, []any{}, got["hosts"], "an empty list, before there are any")

	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer r.Close()
	d, err := signpost.New(signpost.WithoutSigning(), signpost.WithLogger(quiet), signpost.WithAllowedNetworks("127.0.0.0/8"))
	require.NoError(t, err)
	defer d.Close()
	s.begin(&absentQueue{}, d)
	_, err = d.Send(ctx, r.URL+"/hook?token=hunter2", 1)
	require.NoError(t, err)
	eventually(t, func() bool { return d.Stats().Waiting == 1 }, "it waits for its retry")
	text := body(t, ask("GET", "/stats"))
	require.NoError(t, json.Unmarshal([]byte(text), &got))
	assert.NotContains(t, text, "hunter2", "no query string")
	assert.Equal(t, "delivering", got["state"])
	host := got["hosts"].([]any)[0].(map[string]any)
	assert.Equal(t, []string{"endpoints", "host", "in_flight", "last_error", "paused", "paused_until", "queued", "waiting", "window"}, names(host))
	assert.InDelta(t, 1, host["waiting"], 0)
	assert.Equal(t, counts, names(got["dispatcher"].(map[string]any)))
}

func names(m map[string]any) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Somebody who keeps a connection open holds up no shutdown.
func TestClosesInTime(t *testing.T) {
	c, err := readConfig(enough("SIGNPOST_LISTEN=127.0.0.1:0"))
	require.NoError(t, err)
	s, err := serve(c, quiet)
	require.NoError(t, err)
	closed := make(chan error)
	go func() { closed <- s.close() }()
	select {
	case err := <-closed:
		assert.NoError(t, err)
	case <-time.After(patience):
		assert.Fail(t, "close doesn't return")
	}
	assert.Empty(t, s.failed, "it has ended because it was told to")
}
