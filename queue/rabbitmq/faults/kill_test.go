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
