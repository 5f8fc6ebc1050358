package faults

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

// processFaults are faults in the service itself: how it ends, and what it gives to a dispatcher.
var processFaults = []fault{
	{"SIGTERM with work in flight",
		"Shutdown delivers what it can until its deadline, and hands back the rest: enqueued elsewhere, it is delivered there.", sigterm},
	{"a Send that races with Shutdown", "It is accepted, and then ends or is handed back, or it gets ErrClosed.", sendsRaceWithShutdown},
	{"Shutdown from ten goroutines",
		"The first context that is done ends the dispatcher, and all of them return the same. Send returns ErrClosed.", shutdownFromTen},

	{"a panic in an observer", "It is recovered, logged and counted. The outcome stands.", panicIn(observerPanics)},
	{"a panic in an endpoint function", "It is recovered, logged and counted. The attempt has failed on this side: it is retried.",
		panicIn(endpointPanics)},
	{"a panic in a signer", "The same.", panicIn(signerPanics)},
	{"a panic in a key", "The same.", panicIn(keyPanics)},
	{"a panic in a transport", "The same.", panicIn(transportPanics)},
	{"a panic in a transport's body", "The same.", panicIn(bodyPanics)},
	{"a panic in RetryPolicy.Classify", "It is recovered, logged and counted. The default policy decides.", panicIn(classifyPanics)},
	{"a panic in RetryPolicy.BackOff", "It is recovered, logged and counted. The default backoff decides.", backOffPanics},

	{"a payload that changes after Send", "Nothing: Send has a copy.", payloadChanges},
	{"a message that changes after Enqueue", "Nothing: Enqueue has a copy, of the headers too.", messageChanges},
	{"a context that ends after Send", "Nothing: it bounds Send alone, not the delivery.", contextEnds},
	{"a payload that is too large", "Send returns ErrInvalid, and nothing is queued. One of exactly WithMaxPayload is delivered.", largePayload},

	{"a slow observer",
		"It holds up its worker and its host's place: other hosts are delivered by the other workers.", slowObserver},
	{"a slow endpoint function", "The same. Its context ends with the attempt's time.", slowFunction(endpointWaits)},
	{"a slow signer", "The same. The request's context ends with the attempt's time.", slowFunction(signerWaits)},

	{"a dead host that fills the queue", "It gets ErrQueueFull at its share of the room. There is always room for others.", queueFull},
	{"a dead host that fills the queue with bytes", "The same: the queue is bounded in bytes, too.", queueFullOfBytes},
	{"backpressure from a dead host",
		"Send waits for room until its context ends, and then nothing is queued. What goes to others is taken at once.", backpressure},
	{"100,000 hosts, once each", "A host that is idle is forgotten after a second, and its memory and its workers are let go.", manyHosts},
}

// newHandler starts a receiver that enters what arrives into the scene's ledger, and closes it when the test ends.
func newHandler(s *scene, h http.HandlerFunc) (url string) {
	return serveScene(s, s.ledger.Handler(h))
}

func serveScene(s *scene, h http.Handler) (url string) {
	open, end := context.WithCancel(ctx)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.BaseContext = func(net.Listener) context.Context { return open }
	srv.Start()
	s.t.Cleanup(func() {
		end() // Close waits for handlers, and the dispatcher, which ends after it, goes on sending
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// ok answers 200.
func ok(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }

// toNeighbour sends n messages to the healthy neighbour and waits until they have been delivered.
func (s *scene) toNeighbour(n int) {
	s.t.Helper()
	for range n {
		require.Equal(s.t, signpost.Delivered, s.ends(s.send(s.neighbour.URL))[0].State)
	}
}

// inMemory lets every request be answered by f instead of a receiver on a socket, below the ledger.
func inMemory(l *ledger.Ledger, f func(*http.Request) (*http.Response, error)) signpost.Option {
	return signpost.WithTransport(func(http.RoundTripper) http.RoundTripper { return l.Transport(roundTrip(f)) })
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// arriveOK enters a request as arrived and as taken for delivered, and answers 200.
func arriveOK(l *ledger.Ledger) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if l.Arrive(req.Header, body) {
			l.Handle(req.Header.Get("Webhook-Id"))
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	}
}

// A hold holds up whoever comes, until it lets go or their context is done.
type hold struct {
	t    *testing.T
	came chan struct{} // a word for each who comes
	open chan struct{}
	once sync.Once
}

func newHold(t *testing.T) *hold {
	h := &hold{t: t, came: make(chan struct{}, 10_000), open: make(chan struct{})}
	t.Cleanup(h.letGo)
	return h
}

func (h *hold) letGo() { h.once.Do(func() { close(h.open) }) }

// wait is called by who is to be held up.
func (h *hold) wait(ctx context.Context) error {
	h.came <- struct{}{}
	select {
	case <-h.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// has waits until n have come, counted from the last call on.
func (h *hold) has(n int) {
	h.t.Helper()
	for range n {
		receive(h.t, "somebody to hold up", h.came)
	}
}

// receive waits for a value.
func receive[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
	}
	return v
}

// host returns what the dispatcher knows of the host of a URL; nothing if it knows none.
func (s *scene) host(url string) signpost.HostStats {
	name := strings.TrimPrefix(url, "http://")
	for _, h := range s.d.Hosts() {
		if h.Host == name {
			return h
		}
	}
	return signpost.HostStats{}
}
