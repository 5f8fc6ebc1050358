package kafka

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

// A scene is a test's receivers and dispatchers, and the ledger of what becomes of its messages.
//
// When a partition is lost a message may be attempted again that has been reported as delivered: so the ledger is told of each
// message's first end only, once everything is over.
type scene struct {
	t      testing.TB
	secret signpost.Secret
	ledger *ledger.Ledger

	mu       sync.Mutex // protects the following fields
	accepted map[string]bool
	ends     map[string]end
	ended    int // of what was accepted
	endings  int // reported, those beyond the first included
	changed  chan struct{}
}

// An end is how a message has ended, first.
type end struct {
	message signpost.Message
	outcome signpost.Outcome
}

func newScene(t testing.TB) *scene {
	secret := signpost.NewSecret()
	return &scene{
		t: t, secret: secret, ledger: ledger.New(secret), accepted: map[string]bool{}, ends: map[string]end{}, changed: make(chan struct{}),
	}
}

// receiver starts a receiver, and returns its URL.
func (s *scene) receiver(h http.HandlerFunc) string {
	srv := httptest.NewServer(s.ledger.Handler(h))
	s.t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

func ok(http.ResponseWriter, *http.Request) {}

// dispatcher starts a dispatcher that is closed with the test, if not before.
func (s *scene) dispatcher(q *Queue, opts ...signpost.Option) *signpost.Dispatcher {
	s.t.Helper()
	d, err := signpost.New(append([]signpost.Option{
		signpost.WithQueue(q), signpost.WithSecret(s.secret.Reveal()), signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithLogger(quiet), signpost.WithTransport(s.ledger.Transport), signpost.WithObserver(s.observe),
		signpost.WithRateLimit(1e6, 1e6), signpost.WithTimeout(patience),
		signpost.WithRetryPolicy(signpost.RetryPolicy{
			MaxAttempts: 1000, BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(50 * time.Millisecond) },
		}),
	}, opts...)...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { d.Close() })
	return d
}

func (s *scene) observe(_ context.Context, m *signpost.Message, o signpost.Outcome) {
	if o.State != signpost.Delivered && o.State != signpost.Dead {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings++
	if _, again := s.ends[m.ID]; again {
		return
	}
	s.ends[m.ID] = end{*m, o}
	if s.accepted[m.ID] {
		s.ended++
	}
	s.tell()
}

// tell requires that mu is held.
func (s *scene) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// accept notes that a message was accepted.
func (s *scene) accept(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted[id] = true
	if _, ended := s.ends[id]; ended {
		s.ended++
	}
	s.tell()
}

// enqueue enqueues a message, again if that fails, until it has worked or stop is done.
func (s *scene) enqueue(stop context.Context, e interface {
	Enqueue(context.Context, *signpost.Message) error
}, url, id string) bool {
	for stop.Err() == nil {
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := e.Enqueue(within, messageTo(url, id))
		cancel()
		if err == nil {
			s.accept(id)
			return true
		}
		if errors.Is(err, signpost.ErrClosed) {
			return false
		}
	}
	return false
}

// produce has several goroutines enqueue without a pause until stop is done. It returns when they have ended.
func (s *scene) produce(stop context.Context, d *signpost.Dispatcher, prefix string, urls ...string) {
	var wg sync.WaitGroup
	for p := range 8 {
		wg.Go(func() {
			for i := 0; stop.Err() == nil; i++ {
				s.enqueue(stop, d, fmt.Sprintf("%s/%d", urls[(p+i)%len(urls)], i%5), fmt.Sprintf("%s-%d-%d", prefix, p, i))
				if i%5 == 4 {
					sleep(stop, 50*time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
}

// counts returns how many messages were accepted, and how many of them have ended.
func (s *scene) counts() (accepted, ended int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted), s.ended, s.changed
}

// until waits until the counts are so.
func (s *scene) until(what string, is func(accepted, ended int) bool) {
	s.t.Helper()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		accepted, ended, changed := s.counts()
		if is(accepted, ended) {
			return
		}
		select {
		case <-changed:
		case <-over.C:
			require.FailNow(s.t, "waited in vain", "%s: %d were accepted, %d of them have ended; missing: %v", what, accepted, ended, s.missing())
		}
	}
}

func (s *scene) missing() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.accepted {
		if _, ended := s.ends[id]; !ended && len(ids) < 20 {
			ids = append(ids, id)
		}
	}
	return ids
}

// allEnd waits until everything has ended that was accepted.
func (s *scene) allEnd() {
	s.t.Helper()
	s.until("everything ends", func(accepted, ended int) bool { return ended == accepted })
}

// check has the books balance. No dispatcher may be running.
func (s *scene) check() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.accepted {
		s.ledger.Accept(id)
	}
	for id, e := range s.ends {
		if !s.accepted[id] { // its Enqueue has returned an error, but it was there
			s.ledger.Accept(id)
		}
		s.ledger.Observe(ctx, &e.message, e.outcome)
	}
	s.ledger.Check(s.t)
	b := s.ledger.Balance()
	s.t.Logf("%d messages, %d delivered, %d dead; %d attempts, %d duplicates, %d ends beyond the first",
		b.Messages, b.Delivered, b.Dead, b.Attempts, b.Duplicates, s.endings-len(s.ends))
}

func messageTo(url, id string) *signpost.Message {
	return &signpost.Message{ID: id, URL: url, Payload: []byte(`{"type":"test"}`), CreatedAt: time.Now()}
}

func messages(url, prefix string, n int) []*signpost.Message {
	msgs := make([]*signpost.Message, n)
	for i := range msgs {
		msgs[i] = messageTo(url, fmt.Sprintf("%s-%d", prefix, i))
	}
	return msgs
}

func enqueue(t testing.TB, q *Queue, msgs ...*signpost.Message) {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	require.NoError(t, q.Enqueue(within, msgs...))
}

func receive(t testing.TB, q *Queue) signpost.Lease {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := q.Receive(within)
	require.NoError(t, err)
	return l
}

// take receives n messages, and holds their leases, by ID.
func take(t testing.TB, q *Queue, n int) map[string]signpost.Lease {
	t.Helper()
	all := map[string]signpost.Lease{}
	for len(all) < n {
		l := receive(t, q)
		require.NotContains(t, all, l.Message().ID, "it is out")
		all[l.Message().ID] = l
	}
	return all
}

// nothing makes sure that nothing comes for a while.
func nothing(t testing.TB, q *Queue) {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	l, err := q.Receive(within)
	if err == nil {
		require.FailNow(t, "something came", "%s", l.Message().ID)
	}
}

func settle(t testing.TB, l signpost.Lease, o signpost.Outcome) {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	require.NoError(t, l.Settle(within, o))
}

var delivered = signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1, StatusCode: 200}}

func retrying(at time.Time) signpost.Outcome {
	return signpost.Outcome{State: signpost.Retrying, Attempt: signpost.Attempt{Number: 1, StatusCode: 500}, RetryAt: at}
}

func deferred(at time.Time) signpost.Outcome {
	return signpost.Outcome{State: signpost.Deferred, RetryAt: at}
}

// eventually waits until something is so.
func eventually(t testing.TB, is func() bool, what string, args ...any) {
	t.Helper()
	require.Eventually(t, is, patience, 10*time.Millisecond, append([]any{what}, args...)...)
}

// drained asserts that everything in the topics of a prefix is finished, and committed as such.
func drained(t testing.TB, q *Queue) {
	t.Helper()
	eventually(t, func() bool {
		lag, err := q.admin.Lag(ctx, q.config.prefix)
		if err != nil {
			return false
		}
		total := int64(0)
		for _, l := range lag.Sorted() {
			total += l.Lag.Total()
		}
		return total == 0
	}, "everything is finished")
}
