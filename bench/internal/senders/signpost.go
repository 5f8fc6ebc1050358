package senders

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost"
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

type signpostSender struct{ dispatcher *signpost.Dispatcher }

func newSignpost(c Config) (Sender, error) {
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
	dispatcher, err := signpost.New(options...)
	if err != nil {
		return nil, err
	}
	return signpostSender{dispatcher}, nil
}

func (s signpostSender) Send(url string, payload []byte) error {
	_, err := s.dispatcher.Send(context.Background(), url, payload)
	return err
}

func (s signpostSender) Close() error {
	s.dispatcher.Close() // its error hands back what is given up here
	return nil
}

// noSessions is a session cache that forgets everything.
type noSessions struct{}

func (noSessions) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (noSessions) Put(string, *tls.ClientSessionState)        {}
