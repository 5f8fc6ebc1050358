package rabbitmq

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost/internal/ladder"
)

// An Option changes how [Open] opens a queue. It only records; Open validates.
type Option func(*config)

type config struct {
	prefix   string
	logger   *slog.Logger
	prefetch int
	amqp     amqp.Config
	problems []error

	// What only this package's tests change.
	steps    []time.Duration // of the ladder
	channels int             // that consume
	renew    time.Duration   // how long a message may be here until it is moved, well below the broker's consumer_timeout
	reserve  time.Duration   // how long a moved message is kept for an instance that doesn't take it, until it goes to any
	grace    time.Duration   // how long a lease whose channel is gone waits for its message to come again
}

const (
	defaultPrefix   = "signpost"
	defaultPrefetch = 12_000
	maxPrefetch     = 60_000
	maxPrefixBytes  = 200 // a queue's name has 255 at most
)

// WithPrefix sets what the names of the queues at the broker begin with: "<prefix>.ready", "<prefix>.dead",
// "<prefix>.delay.1s" and so on. Default: "signpost".
func WithPrefix(prefix string) Option {
	return func(c *config) {
		if prefix == "" || len(prefix) > maxPrefixBytes {
			c.problems = append(c.problems, fmt.Errorf("rabbitmq: WithPrefix(%.20q): give 1 to %d bytes", prefix, maxPrefixBytes))
			return
		}
		c.prefix = prefix
	}
}

// WithLogger has what happens between the queue and the broker logged: connections that are lost and made again, and what
// needs somebody to look after it. Default: slog.Default.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l == nil {
			c.problems = append(c.problems, errors.New("rabbitmq: WithLogger: logger nil; leave the option out for slog.Default"))
			return
		}
		c.logger = l
	}
}

// WithPrefetch sets how many messages this instance has from the broker at a time, leases included: 1 to 60,000. It should be
// somewhat more than the dispatcher has room for ([signpost.WithQueueSize]), and their payloads must fit into memory.
// Default: 12,000.
func WithPrefetch(n int) Option {
	return func(c *config) {
		if n < 1 || n > maxPrefetch {
			c.problems = append(c.problems, fmt.Errorf("rabbitmq: WithPrefetch(%d): give 1 to %d", n, maxPrefetch))
			return
		}
		c.prefetch = n
	}
}

// WithConfig sets how connections are made: TLS, SASL, heartbeat, how to dial. Its Recovery must be nil: the queue reconnects
// by itself. Default: what the URL says, and a heartbeat of 10 s.
func WithConfig(cfg amqp.Config) Option {
	return func(c *config) {
		if cfg.Recovery != nil {
			c.problems = append(c.problems, errors.New("rabbitmq: WithConfig: Recovery is set; leave it nil"))
			return
		}
		c.amqp = cfg
	}
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		prefix: defaultPrefix, logger: slog.Default(), prefetch: defaultPrefetch,
		steps: ladder.Steps(), channels: 8, renew: 10 * time.Minute, reserve: time.Minute, grace: 10 * time.Second,
	}
	for i, o := range opts {
		if o == nil {
			c.problems = append(c.problems, fmt.Errorf("rabbitmq: option %d of %d is nil", i+1, len(opts)))
			continue
		}
		o(c)
	}
	c.channels = min(c.channels, c.prefetch)
	if c.amqp.Heartbeat == 0 {
		c.amqp.Heartbeat = 10 * time.Second
	}
	return c, errors.Join(c.problems...)
}
