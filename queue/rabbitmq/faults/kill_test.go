package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// The broker is killed at moments that are left to chance, while messages are published, confirmed, delivered and settled.
func TestBrokerKilledUnderLoad(t *testing.T) {
	s := newScene(t)
	s.answers(func(string, int) int { return []int{200, 200, 200, 500}[rand.N(4)] })
	d := s.dispatch(s.open(), 1200*time.Millisecond)
	const n = 4000
	wait := s.produce(d, "load", n)
	rounds := 2
	if long {
		rounds = 10
	}
	for i := range rounds {
		at := int64(n * (i + 1) / (rounds + 2))
		s.until("the load goes on", func() bool { return s.ended.Load() >= at })
		s.restart()
	}
	wait()
	s.until("every message ends", func() bool { return s.ended.Load() >= n })
	d.Close()
	s.ledger.Check(t)
	t.Logf("%+v, %d retries", s.ledger.Balance(), s.retries.Load())
}

// The broker is killed while messages wait in delay queues, and comes back before some of them are due, and after others are.
func TestBrokerKilledWhileMessagesWait(t *testing.T) {
	s := newScene(t)
	q := s.open()
	const n = 800
	var msgs []*signpost.Message
	for i := range n {
		msgs = append(msgs, s.message(fmt.Sprintf("wait-%d", i)))
	}
	bounded, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	require.NoError(t, q.Enqueue(bounded, msgs...))
	due := map[string]time.Time{}
	var wg sync.WaitGroup
	for i := range n {
		l, err := q.Receive(bounded)
		require.NoError(t, err)
		at := time.Now().Add(3*time.Second + time.Duration(i)*12*time.Millisecond)
		due[l.Message().ID] = at
		wg.Go(func() { assert.NoError(t, l.Settle(bounded, signpost.Outcome{State: signpost.Deferred, RetryAt: at})) })
	}
	wg.Wait()
	s.restart()
	came := 0
	for len(due) > 0 {
		wait, cancel := context.WithTimeout(ctx, patience)
		l, err := q.Receive(wait)
		cancel()
		if err != nil {
			s.explain(fmt.Sprintf("%d of %d messages didn't come back: %v", len(due), n, err))
		}
		came++
		now, at := time.Now(), due[l.Message().ID]
		assert.False(t, at.IsZero(), "message %s came twice", l.Message().ID)
		assert.False(t, now.Before(at), "message %s came %v early", l.Message().ID, at.Sub(now))
		delete(due, l.Message().ID)
		require.NoError(t, l.Settle(bounded, signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1}}))
	}
}

// The broker is killed when messages were published and none is confirmed: it is frozen before, so that none can be. They are
// published again.
func TestBrokerKilledBetweenPublishAndConfirm(t *testing.T) {
	s := newScene(t)
	q := s.open()
	s.stopInTheMiddle(50, func(bounded context.Context, i int) error {
		return q.Enqueue(bounded, s.message(fmt.Sprintf("publish-%d", i)))
	})
	came := map[string]bool{}
	for len(came) < 50 {
		bounded, cancel := context.WithTimeout(ctx, patience)
		l, err := q.Receive(bounded)
		require.NoError(t, err, "%d of 50 came", len(came))
		came[l.Message().ID] = true
		require.NoError(t, l.Settle(bounded, delivered))
		cancel()
	}
}

// The broker is killed when outcomes were sent and none is confirmed. Leases stay out, and Settle goes on when it is back: what is
// retried comes again with its attempt, and as often as Settle has returned nil for it at least.
func TestBrokerKilledDuringSettle(t *testing.T) {
	s := newScene(t)
	q := s.open()
	bounded, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	leases := make([]signpost.Lease, 50)
	for i := range leases {
		require.NoError(t, q.Enqueue(bounded, s.message(fmt.Sprintf("settle-%d", i))))
	}
	for i := range leases {
		var err error
		leases[i], err = q.Receive(bounded)
		require.NoError(t, err)
	}
	s.stopInTheMiddle(len(leases), func(bounded context.Context, i int) error {
		return leases[i].Settle(bounded, signpost.Outcome{State: signpost.Retrying, Attempt: signpost.Attempt{Number: 1}})
	})
	came := map[string]int{}
	for len(came) < len(leases) {
		l, err := q.Receive(bounded)
		require.NoError(t, err, "%d of %d came", len(came), len(leases))
		came[l.Message().ID] = l.Message().Attempts
		require.NoError(t, l.Settle(bounded, delivered))
	}
	for id, attempts := range came {
		assert.Equal(t, 1, attempts, id)
	}
}

// stopInTheMiddle freezes the broker, has n calls made at the same time, and kills the broker in the middle of them. Each must
// return nil once it is back.
func (s *scene) stopInTheMiddle(n int, call func(bounded context.Context, i int) error) {
	s.t.Helper()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	require.NoError(s.t, s.server.Freeze())
	results := make(chan error, n)
	for i := range n {
		go func() { results <- call(bounded, i) }()
	}
	select {
	case err := <-results:
		s.t.Errorf("a call has returned while the broker is frozen: %v", err)
	case <-time.After(500 * time.Millisecond): // for them to be written: that is the fault itself
	}
	s.restart()
	for range n {
		require.NoError(s.t, <-results)
	}
}
