package faults

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

var ctx = context.Background()

// patience bounds what a test waits for. It is no measure of anything: a test that reaches it has failed.
const patience = 30 * time.Second

var quiet = signpost.WithLogger(slog.New(slog.DiscardHandler))

// soon makes retries follow after some milliseconds.
var soon = signpost.WithRetryPolicy(policy(8))

func policy(attempts int) signpost.RetryPolicy {
	return signpost.RetryPolicy{
		MaxAttempts: attempts,
		BackOff:     func() backoff.BackOff { return backoff.NewConstantBackOff(5 * time.Millisecond) },
	}
}

// A scene is a dispatcher on real sockets, the ledger of all that it does, and a healthy neighbour of the receiver that
// misbehaves. It ends with the test: the dispatcher is shut down, the neighbour must have got its messages, and the
// ledger must balance.
type scene struct {
	t        *testing.T
	d        *signpost.Dispatcher
	ledger   *ledger.Ledger
	secret   signpost.Secret
	outcomes chan struct{} // a word for each outcome

	mu         sync.Mutex
	neighbours []string // messages to the neighbour
	neighbour  *httptest.Server
}

// newScene starts a dispatcher that may reach loopback and retries soon; opts come after these and the ledger's. An
// observer of opts is called as well; a transport must be wrapped around the ledger's with scene.ledger.Transport.
func newScene(t *testing.T, opts ...signpost.Option) *scene {
	t.Helper()
	secret := signpost.NewSecret()
	s := &scene{t: t, ledger: ledger.New(secret), secret: secret, outcomes: make(chan struct{}, 1)}
	s.neighbour = httptest.NewServer(s.ledger.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	})))
	all := append([]signpost.Option{
		signpost.WithSecret(secret.Reveal()), signpost.WithAllowedNetworks("127.0.0.0/8", "::1/128"), quiet, soon,
	}, s.ledger.Options()...)
	all = append(all, signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) {
		select {
		case s.outcomes <- struct{}{}:
		default:
		}
	}))
	d, err := signpost.New(append(all, opts...)...)
	require.NoError(t, err)
	s.d = d
	t.Cleanup(s.end)
	return s
}

// end shuts the dispatcher down. What it hands back is entered as such: a test that expects all to have ended waits for
// that itself.
func (s *scene) end() {
	s.ledger.HandBack(s.d.Close())
	s.neighbour.CloseClientConnections()
	s.neighbour.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.neighbours {
		assert.Equal(s.t, signpost.Delivered, s.ledger.Last(id).State, "a message to the healthy neighbour")
	}
	s.ledger.Check(s.t)
}

// send sends a message, and another one to the healthy neighbour, and waits until the latter has been delivered.
func (s *scene) send(url string) (id string) {
	s.t.Helper()
	id = s.sendOnly(url)
	neighbour := s.sendOnly(s.neighbour.URL)
	s.mu.Lock()
	s.neighbours = append(s.neighbours, neighbour)
	s.mu.Unlock()
	s.wait("a message to the healthy neighbour", func() bool { return s.ledger.Last(neighbour).State == signpost.Delivered })
	return id
}

func (s *scene) sendOnly(url string) (id string) {
	s.t.Helper()
	id, err := s.d.Send(ctx, url, []byte(`{"type":"order.paid","order":42}`))
	require.NoError(s.t, err)
	s.ledger.Accept(id)
	return id
}

// ends waits until a message has ended and returns its outcomes, one for each attempt.
func (s *scene) ends(id string) []signpost.Outcome {
	s.t.Helper()
	s.wait("the end of a message", func() bool {
		state := s.ledger.Last(id).State
		return state == signpost.Delivered || state == signpost.Dead
	})
	return s.ledger.Of(id)
}

// tried waits until a message has had n outcomes and returns them.
func (s *scene) tried(id string, n int) []signpost.Outcome {
	s.t.Helper()
	s.wait("attempts of a message", func() bool { return len(s.ledger.Of(id)) >= n })
	return s.ledger.Of(id)
}

// wait waits until something holds that an outcome brings about.
func (s *scene) wait(what string, holds func() bool) {
	s.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for !holds() {
		select {
		case <-s.outcomes:
		case <-time.After(50 * time.Millisecond): // two may wait for the same word
		case <-timeout.C:
			require.FailNow(s.t, "waited in vain for "+what)
		}
	}
}

// states are the states of outcomes.
func states(os []signpost.Outcome) (states []signpost.State) {
	for _, o := range os {
		states = append(states, o.State)
	}
	return states
}
