package senders

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/queue/sqlite"
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
	queue      *sqlite.Queue // nil: in memory
	settled    atomic.Int64
}

func newSignpost(c Config) (Sender, error) {
	s := &signpostSender{}
	waits := c.waits()
	limit, burst := c.limit()
	options := []signpost.Option{
		signpost.WithSecret(c.Secret),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithWorkers(c.Workers),
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
			}
		}))
	}
	if c.File != "" {
		if s.queue, err = sqlite.Open(context.Background(), c.File); err != nil {
			return nil, err
		}
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

func (s *signpostSender) Settled() int { return int(s.settled.Load()) }

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
