package queuetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signpost-go/signpost"
)

// limits are how long the suite waits, beyond what Harness.Late allows. Only a queue that breaks the contract
// makes it wait for as long as patience.
type limits struct {
	patience time.Duration // for what must come or return, until it counts as lost or stuck
	slack    time.Duration // how late a message may come on a busy machine
	quiet    time.Duration // how long nothing must come
}

func patient() limits {
	return limits{patience: 20 * time.Second, slack: 2 * time.Second, quiet: 100 * time.Millisecond}
}

// A session is one check's use of the queue under test. Its methods fail the test unless they say otherwise;
// only the test's goroutine may call them.
type session struct {
	t testing.TB
	h Harness
	limits
	queue signpost.Queue // nil: closed
}

// A receipt is what Receive returned.
type receipt struct {
	signpost.Lease
	at  time.Time // when it did
	err error
}

func (s *session) open() {
	s.t.Helper()
	if s.queue = s.h.Open(s.t); s.queue == nil {
		s.t.Fatal("Harness.Open returned no queue")
	}
}

// end closes the queue after a check, whatever became of that.
func (s *session) end() {
	if s.queue != nil {
		s.close()
	}
}

func (s *session) close() {
	s.t.Helper()
	q := s.queue
	s.queue = nil
	if err := await(s, "Close", q.Close); err != nil {
		s.t.Fatalf("Close: %v: it must release the queue's resources", err)
	}
}

func (s *session) reopen() {
	s.t.Helper()
	s.close()
	s.open()
}

// context is for a call that must be over in good time.
func (s *session) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.patience+s.h.Late)
}

// await returns what f returns, unless f is stuck.
func await[T any](s *session, what string, f func() T) T {
	s.t.Helper()
	done := make(chan T, 1)
	go func() { done <- f() }()
	limit := s.patience + s.h.Late + s.slack
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v := <-done:
		return v
	case <-timer.C:
		s.t.Fatalf("%s did not return within %v: it must return when it is done, and a call that waits when its context is done or the queue is closed", what, limit)
		panic("unreachable")
	}
}

// together calls f n times at once, and waits for all of them to return.
func (s *session) together(what string, n int, f func(i int) error) {
	s.t.Helper()
	errs := await(s, what, func() []error {
		errs := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { errs[i] = f(i) })
		}
		wg.Wait()
		return errs
	})
	if err := errors.Join(errs...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *session) enqueue(msgs ...*signpost.Message) {
	s.t.Helper()
	ctx, cancel := s.context()
	defer cancel()
	if err := s.enqueueWith(ctx, msgs...); err != nil {
		s.t.Fatalf("Enqueue of %s: %v: it must take over valid messages", names(msgs), err)
	}
}

// enqueueWith returns what Enqueue does.
func (s *session) enqueueWith(ctx context.Context, msgs ...*signpost.Message) error {
	s.t.Helper()
	q := s.queue
	return await(s, "Enqueue", func() error { return q.Enqueue(ctx, msgs...) })
}

func names(msgs []*signpost.Message) string {
	if len(msgs) == 1 {
		return fmt.Sprintf("%.40q", msgs[0].ID)
	}
	return fmt.Sprintf("%d messages", len(msgs))
}

// receiveWith returns what Receive does; a receipt without an error has a lease and a message.
func (s *session) receiveWith(ctx context.Context) receipt {
	s.t.Helper()
	q := s.queue
	return await(s, "Receive", func() receipt { return receive(ctx, q) })
}

// receive may be called by any goroutine.
func receive(ctx context.Context, q signpost.Queue) receipt {
	l, err := q.Receive(ctx)
	at := time.Now()
	if err == nil && (l == nil || l.Message() == nil) {
		err = errors.New("no message and no error: Receive blocks until a message is due")
	}
	return receipt{l, at, err}
}

// take receives a message. demand is why one must come.
func (s *session) take(demand string) receipt {
	s.t.Helper()
	ctx, cancel := s.context()
	defer cancel()
	r := s.receiveWith(ctx)
	if r.err != nil && ctx.Err() != nil {
		s.t.Fatalf("no message came within %v: %s", s.patience+s.h.Late, demand)
	}
	if r.err != nil {
		s.t.Fatalf("Receive: %v: %s", r.err, demand)
	}
	return r
}

// takeOnly is take when no other message than the one with the given ID can come.
func (s *session) takeOnly(id, demand string) receipt {
	s.t.Helper()
	r := s.take(demand)
	if got := r.Message().ID; got != id {
		s.t.Fatalf("message %.40q came instead of %.40q: %s", got, id, demand)
	}
	return r
}

// takeAll takes as many different messages as demanded, by ID, and holds their leases.
func (s *session) takeAll(n int, demand string) map[string]receipt {
	s.t.Helper()
	all := make(map[string]receipt, n)
	for len(all) < n {
		r := s.take(fmt.Sprintf("%s; %d of %d came", demand, len(all), n))
		id := r.Message().ID
		if _, ok := all[id]; ok {
			s.t.Fatalf("message %.40q came twice: nobody else receives a message while a lease on it is out", id)
		}
		all[id] = r
	}
	return all
}

// collect delivers all messages that are due, and counts how often each ID came. It enqueues one with the ID
// last, so as to wait for that at least.
func (s *session) collect(last, demand string) map[string]int {
	s.t.Helper()
	s.enqueue(message(last))
	came := map[string]int{}
	for came[last] == 0 {
		r := s.take(demand)
		came[r.Message().ID]++
		s.settle(r, delivered(r.Message()))
	}
	for _, r := range s.drain() {
		came[r.Message().ID]++
	}
	return came
}

// nothing makes sure that no message comes for a while.
func (s *session) nothing(demand string) {
	s.t.Helper()
	if rest := s.drain(); len(rest) > 0 {
		m := rest[0].Message()
		s.t.Fatalf("message %.40q came with %d attempts, %d in all: %s", m.ID, m.Attempts, len(rest), demand)
	}
}

// drain receives until no message comes for a while, and settles everything as delivered.
func (s *session) drain() []receipt {
	s.t.Helper()
	var all []receipt
	for {
		ctx, cancel := context.WithTimeout(context.Background(), s.quiet+s.h.Late)
		r := s.receiveWith(ctx)
		over := ctx.Err() != nil && errors.Is(r.err, context.DeadlineExceeded)
		cancel()
		switch {
		case r.err == nil:
			s.settle(r, delivered(r.Message()))
			all = append(all, r)
		case over:
			return all
		default:
			s.t.Fatalf("Receive: %v: it must block until a message is due", r.err)
		}
	}
}

func (s *session) settle(l signpost.Lease, o signpost.Outcome) {
	s.t.Helper()
	ctx, cancel := s.context()
	defer cancel()
	if err := s.settleWith(ctx, l, o); err != nil {
		s.t.Fatalf("Settle of %.40q as %v: %v: it must settle a lease that is out", l.Message().ID, o.State, err)
	}
}

// settleWith returns what Settle does.
func (s *session) settleWith(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
	s.t.Helper()
	return await(s, "Settle", func() error { return l.Settle(ctx, o) })
}

// same compares a message that came with the one that must have.
func (s *session) same(got, want *signpost.Message, demand string) {
	s.t.Helper()
	for _, d := range differences(got, want) {
		s.t.Errorf("message %.40q: %s: %s", want.ID, d, demand)
	}
}

func differences(got, want *signpost.Message) (all []string) {
	differ := func(field string, got, want any) {
		all = append(all, fmt.Sprintf("%s is %.120q, not %.120q", field, fmt.Sprint(got), fmt.Sprint(want)))
	}
	if got.ID != want.ID {
		differ("ID", got.ID, want.ID)
	}
	if got.URL != want.URL {
		differ("URL", got.URL, want.URL)
	}
	if string(got.Payload) != string(want.Payload) {
		differ("payload", string(got.Payload), string(want.Payload))
	}
	for key := range want.Header {
		if !slices.Equal(got.Header[key], want.Header[key]) {
			differ("header "+key, got.Header[key], want.Header[key])
		}
	}
	for key := range got.Header {
		if _, ok := want.Header[key]; !ok {
			differ("header "+key, got.Header[key], "missing")
		}
	}
	if d := got.CreatedAt.Sub(want.CreatedAt); d <= -time.Millisecond || d >= time.Millisecond {
		differ("creation time", got.CreatedAt, want.CreatedAt)
	}
	if got.Attempts != want.Attempts {
		differ("attempts", got.Attempts, want.Attempts)
	}
	return all
}

// onTime makes sure that r came neither before it was due nor much later.
func (s *session) onTime(r receipt, due time.Time) {
	s.t.Helper()
	late := r.at.Sub(due)
	if late < 0 {
		s.t.Errorf("message %.40q came %v before it was due: RetryAt may be rounded later, never earlier", r.Message().ID, -late)
	}
	if limit := s.h.Late + s.slack; late > limit {
		s.t.Errorf("message %.40q came %v after it was due: Harness.Late allows %v, and a busy machine %v more", r.Message().ID, late, s.h.Late, s.slack)
	}
}

// message returns a message with the given ID.
func message(id string) *signpost.Message {
	return &signpost.Message{
		ID: id, URL: "https://example.com/hooks/1?key=2", Payload: []byte(`{"type":"test"}`), CreatedAt: time.Now(),
	}
}

// attempt is the next one for m, with an answer.
func attempt(m *signpost.Message, status int) signpost.Attempt {
	return signpost.Attempt{Number: m.Attempts + 1, Start: time.Now(), Duration: time.Millisecond, StatusCode: status, Body: []byte("answer")}
}

func delivered(m *signpost.Message) signpost.Outcome {
	return signpost.Outcome{State: signpost.Delivered, Attempt: attempt(m, http.StatusOK)}
}

func dead(m *signpost.Message) signpost.Outcome {
	return signpost.Outcome{State: signpost.Dead, Attempt: attempt(m, http.StatusInternalServerError), Reason: signpost.ErrExhausted}
}

func retrying(m *signpost.Message, at time.Time) signpost.Outcome {
	return signpost.Outcome{State: signpost.Retrying, Attempt: attempt(m, http.StatusInternalServerError), RetryAt: at}
}

func deferred(at time.Time) signpost.Outcome {
	return signpost.Outcome{State: signpost.Deferred, RetryAt: at}
}

func outcome(state signpost.State, m *signpost.Message, at time.Time) signpost.Outcome {
	switch state {
	case signpost.Delivered:
		return delivered(m)
	case signpost.Dead:
		return dead(m)
	case signpost.Retrying:
		return retrying(m, at)
	}
	return deferred(at)
}

// in returns the time after d.
func in(d time.Duration) time.Time { return time.Now().Add(d) }
