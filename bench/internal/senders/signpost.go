package senders

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/result"
)

var signpostKind = Kind{
	Name: result.Signpost,
	About: "This library with its queue in memory, and without a rate limit, which the others don't have either. " +
		"Where cost is measured, up to 64 attempts at one host at a time, as the loop makes, and Send waits when there are 1,000 messages in the queue.",
	Producers: 1,
	Queue:     true,
	New:       newSignpost,
}

type signpostSender struct {
	dispatcher *signpost.Dispatcher
	queue      signpost.Queue // nil: in memory
	settled    atomic.Int64
	last       atomic.Int64 // a clock.Time
}

func newSignpost(c Config) (Sender, error) {
	s := &signpostSender{}
	waits := c.waits()
	limit, burst := c.limit()
	workers := c.Workers
	if c.SendOnly {
		workers = 0
	}
	options := []signpost.Option{
		signpost.WithSecret(c.Secret),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithWorkers(workers),
		signpost.WithQueueSize(c.Buffer),
		signpost.WithTimeout(c.Timeout),
		signpost.WithRateLimit(limit, burst),
		signpost.WithRetryPolicy(signpost.RetryPolicy{
			MaxAttempts: attempts,
			BackOff: func() backoff.BackOff {
				return backoff.NewExponentialBackOff(
					backoff.WithInitialInterval(waits[0]), backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0),
					backoff.WithMaxInterval(waits[attempts-2]), backoff.WithMaxElapsedTime(0),
				)
			},
		}),
		signpost.WithLogger(slog.New(slog.DiscardHandler)),
	}
	if c.HostConcurrency > 0 {
		options = append(options, signpost.WithHostConcurrency(c.HostConcurrency))
	}
	if c.Backpressure {
		options = append(options, signpost.WithBackpressure())
	}
	secure, err := c.tls()
	if err != nil {
		return nil, err
	}
	if c.NoSessions {
		secure.ClientSessionCache = noSessions{}
	}
	if secure != nil {
		options = append(options, signpost.WithTLSConfig(secure))
	}
	if c.Count { // an observer hears of an outcome once it is settled
		options = append(options, signpost.WithObserver(func(_ context.Context, _ *signpost.Message, o signpost.Outcome) {
			if o.State == signpost.Delivered || o.State == signpost.Dead {
				s.settled.Add(1)
				s.last.Store(int64(clock.Now()))
			}
		}))
	}
	if s.queue, err = openQueue(c); err != nil {
		return nil, err
	}
	if s.queue != nil {
		options = append(options, signpost.WithQueue(s.queue))
	}
	if s.dispatcher, err = signpost.New(options...); err != nil {
		return nil, errors.Join(err, s.closeQueue())
	}
	return s, nil
}

func (s *signpostSender) Send(url string, payload []byte) error {
	_, err := s.dispatcher.Send(context.Background(), url, payload)
	return err
}

// Count counts what the observer has heard of.
func (s *signpostSender) Count() (Count, error) {
	n := int(s.settled.Load())
	return Count{Delivered: n, Settled: n, Last: clock.Time(s.last.Load())}, nil
}

func (s *signpostSender) Close() error {
	s.dispatcher.Close() // its error hands back what is given up here
	return s.closeQueue()
}

func (s *signpostSender) closeQueue() error {
	if s.queue == nil {
		return nil
	}
	return s.queue.Close()
}

// noSessions is a session cache that forgets everything.
type noSessions struct{}

func (noSessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (noSessions) Put(string, *tls.ClientSessionState)        {}
