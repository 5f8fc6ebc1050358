package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost"
)

// newDispatcher returns one whose attempts and outcomes are entered.
func (s *soak) newDispatcher() (*signpost.Dispatcher, error) {
	return signpost.New(
		signpost.WithSecret(s.secret.Reveal()),
		signpost.WithTimeout(s.config.timeout),
		signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 6, MaxAge: s.config.maxAge, BackOff: shortBackOff}),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithTLSConfig(&tls.Config{RootCAs: s.child.roots}),
		signpost.WithLogger(slog.New(slog.DiscardHandler)),
		signpost.WithTransport(s.ledger.Transport),
		signpost.WithObserver(s.observe),
	)
}

func shortBackOff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond), backoff.WithMultiplier(2), backoff.WithMaxInterval(10*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}

// observe enters an outcome, without what the receiver said: the ledger is to be small.
func (s *soak) observe(ctx context.Context, m *signpost.Message, o signpost.Outcome) {
	o.Attempt.Body = nil
	if o.State == signpost.Dead && o.Reason != nil {
		s.tally.die(o.Reason)
	}
	s.ledger.Observe(ctx, m, o)
}

// current is the dispatcher to send to.
func (s *soak) current() *signpost.Dispatcher { return s.dispatcher.Load() }

// restartNowAndThen replaces the dispatcher every so often until ctx is done, and gives to the next one what comes back.
func (s *soak) restartNowAndThen(ctx context.Context) {
	r := rand.New(rand.NewPCG(s.config.seed, 1000))
	var restart <-chan time.Time
	if s.config.restart > 0 {
		ticker := time.NewTicker(s.config.restart)
		defer ticker.Stop()
		restart = ticker.C
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-restart:
			s.restart(time.Second + time.Duration(r.Int64N(int64(time.Second))))
		case <-again.C:
			s.sendAgain()
		}
	}
}

// restart is what a service does that is replaced without a gap: the next one takes over, then this one finishes what it
// can in a short time, and the rest goes to the next one.
func (s *soak) restart(patience time.Duration) {
	next, err := s.newDispatcher()
	if err != nil {
		s.problem("New: %v", err)
		return
	}
	last := s.dispatcher.Swap(next)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.returned = append(s.returned, s.shutdown(ctx, last)...)
	s.restarts.Add(1)
	s.sendAgain()
}

// shutdown ends a dispatcher, enters what it hands back, and compares its own counters.
func (s *soak) shutdown(ctx context.Context, d *signpost.Dispatcher) []*signpost.Message {
	back := s.ledger.HandBack(d.Shutdown(ctx))
	s.handedBack.Add(int64(len(back)))
	st := d.Stats()
	if st.Accepted != st.Delivered+st.Dead+uint64(len(back)) || st.Queued+st.Waiting+st.InFlight != 0 || st.Bytes != 0 {
		s.problem("a dispatcher's own counters don't balance: %+v, and %d handed back", st, len(back))
	}
	if st.Panics > 0 {
		s.problem("%d panics", st.Panics)
	}
	return back
}

// sendAgain enqueues what was handed back. What finds no room stays, for the next time.
func (s *soak) sendAgain() {
	d := s.current()
	var stays []*signpost.Message
	for _, m := range s.returned {
		s.ledger.Again(m.ID) // its first outcome may come before Enqueue has returned
		err := d.Enqueue(context.Background(), m)
		if err == nil {
			continue
		}
		s.ledger.HandBack(&signpost.UndeliveredError{Messages: []*signpost.Message{m}})
		stays = append(stays, m)
		if !errors.Is(err, signpost.ErrQueueFull) {
			s.problem("Enqueue of a message that was handed back: %v", err)
		}
	}
	s.returned = stays
}
