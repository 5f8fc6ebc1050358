package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/broker"
	"github.com/signpost-go/signpost/internal/ledger"
	"github.com/signpost-go/signpost/queue/rabbitmq"
)

// A scene is a broker, a receiver and a ledger, and services that use them.
type scene struct {
	t       *testing.T
	server  *broker.Server
	prefix  string
	secret  signpost.Secret
	ledger  *ledger.Ledger
	URL     string // of the receiver
	answer  atomic.Pointer[func(id string, nth int) int]
	ended   atomic.Int64 // outcomes that are final
	retries atomic.Int64
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, server: newBroker(t), prefix: newPrefix(), secret: signpost.NewSecret()}
	s.ledger = ledger.New(s.secret)
	s.answers(func(string, int) int { return 200 })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		id := req.Header.Get("Webhook-Id")
		if !s.ledger.Arrive(req.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		status := (*s.answer.Load())(id, 0)
		if status/100 == 2 {
			s.ledger.Handle(id)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// answers sets what the receiver answers.
func (s *scene) answers(f func(id string, nth int) int) { s.answer.Store(&f) }

func (s *scene) open(opts ...rabbitmq.Option) *rabbitmq.Queue {
	s.t.Helper()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	opts = append([]rabbitmq.Option{rabbitmq.WithPrefix(s.prefix), rabbitmq.WithLogger(quiet)}, opts...)
	q, err := rabbitmq.Open(bounded, s.server.Address(), opts...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { q.Close() })
	return q
}

// message returns one for the receiver.
func (s *scene) message(id string) *signpost.Message {
	return &signpost.Message{ID: id, URL: s.URL + "/", Payload: []byte(`{"a":1}`), CreatedAt: time.Now()}
}

// dispatch starts a dispatcher with the ledger.
func (s *scene) dispatch(q signpost.Queue, retry time.Duration, opts ...signpost.Option) *signpost.Dispatcher {
	s.t.Helper()
	opts = append([]signpost.Option{
		signpost.WithQueue(q), signpost.WithSecret(s.secret.Reveal()), signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithLogger(quiet), signpost.WithRateLimit(rate.Inf, 0),
		signpost.WithRetryPolicy(signpost.RetryPolicy{
			MaxAttempts: 20, BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(retry) },
		}),
		signpost.WithObserver(func(_ context.Context, _ *signpost.Message, o signpost.Outcome) {
			switch o.State {
			case signpost.Delivered, signpost.Dead:
				s.ended.Add(1)
			case signpost.Retrying:
				s.retries.Add(1)
			}
		}),
	}, opts...)
	d, err := signpost.New(append(opts, s.ledger.Options()...)...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { d.Close() })
	return d
}

// produce sends n messages from several goroutines, each of which must be accepted in the end. It returns what waits for that.
func (s *scene) produce(d *signpost.Dispatcher, prefix string, n int) (wait func()) {
	const producers = 8
	var wg sync.WaitGroup
	errs := make(chan error, producers)
	for p := range producers {
		wg.Go(func() {
			for i := range n / producers {
				m := s.message(fmt.Sprintf("%s-%d-%d", prefix, p, i))
				m.URL += fmt.Sprint(p)
				s.ledger.Accept(m.ID) // it may be delivered before Enqueue has returned
				bounded, cancel := context.WithTimeout(ctx, patience)
				err := d.Enqueue(bounded, m)
				cancel()
				if err != nil {
					errs <- fmt.Errorf("message %s: %w", m.ID, err)
					return
				}
			}
		})
	}
	return func() {
		s.t.Helper()
		wg.Wait()
		select {
		case err := <-errs:
			require.NoError(s.t, err)
		default:
		}
	}
}

// until waits for a condition.
func (s *scene) until(what string, is func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			s.explain(fmt.Sprintf("waited in vain: %s: %d ended, %+v", what, s.ended.Load(), s.ledger.Balance()))
		}
	}
}

// explain fails the test with what the broker has.
func (s *scene) explain(why string) {
	s.t.Helper()
	s.t.Error(why)
	for _, args := range [][]string{
		{"list_queues", "name", "messages_ready", "messages_unacknowledged", "messages", "consumers", "state"},
		{"eval", "{whereis(rabbit_fifo_dlx_sup), catch supervisor:which_children(rabbit_fifo_dlx_sup)}."},
	} {
		out, err := s.server.Ctl(args...)
		s.t.Log(out, err)
	}
	s.t.FailNow()
}

// restart kills the broker, as kill -9 does, and starts it again.
func (s *scene) restart() {
	s.t.Helper()
	require.NoError(s.t, s.server.Kill())
	require.NoError(s.t, s.server.Start())
}
