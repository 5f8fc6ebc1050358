package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost/internal/ladder"
)

// An Option changes how [Open] opens a queue. It only records; Open validates.
type Option func(*config)

type config struct {
	logger      *slog.Logger
	prefix      string
	partitions  int // of the ready topic
	replication int // -1: the broker's default
	maxBytes    int
	prefetch    int
	client      []kgo.Opt
	problems    []error

	// What only tests change.
	steps    []time.Duration
	window   int64 // messages of a partition, from the lowest unfinished one on
	metadata int   // characters that go with a commit
}

const (
	defaultPartitions = 12
	defaultMaxBytes   = 2 << 20
	defaultPrefetch   = 1000
	defaultWindow     = 16_000
	defaultMetadata   = 4096 // offset.metadata.max.bytes

	maxPrefix = 200 // a topic's name has 249 characters at most
	room      = 64 << 10
)

// WithLogger has what the queue does by itself logged: the connection lost and found again, messages that can't be parsed,
// partitions that come and go. Default: slog.Default.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l == nil {
			c.problem("WithLogger: logger nil; leave the option out for slog.Default")
			return
		}
		c.logger = l
	}
}

// WithPrefix sets what the names of topics begin with, and what the consumer group is called. Queues with different
// prefixes have nothing to do with each other. Default: "signpost".
func WithPrefix(prefix string) Option {
	return func(c *config) {
		odd := strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
		if odd != "" || prefix == "" || len(prefix) > maxPrefix {
			c.problem("WithPrefix(%q): give 1 to %d letters, digits, dots, underscores and hyphens", prefix, maxPrefix)
			return
		}
		c.prefix = prefix
	}
}

// WithPartitions sets how many partitions the ready topic is created with: so many instances can share the work. The
// others have a quarter of it. One that exists must have as many at least. Default: 12.
func WithPartitions(n int) Option {
	return func(c *config) {
		if n < 1 || n > 10_000 {
			c.problem("WithPartitions(%d): give 1 to 10000", n)
			return
		}
		c.partitions = n
	}
}

// WithReplication sets how many brokers have each topic that is created. Default: the broker's default.replication.factor.
// For a promise that holds when a broker is lost it takes 3, and min.insync.replicas=2 at the brokers.
func WithReplication(n int) Option {
	return func(c *config) {
		if n < 1 || n > 100 {
			c.problem("WithReplication(%d): give 1 to 100; leave the option out for the broker's default", n)
			return
		}
		c.replication = n
	}
}

// WithMaxBytes sets how large a message may be, with its headers: a larger one is refused with [ErrTooLarge]. Topics are
// created for it, and one that exists must have a max.message.bytes for it. Default: 2 MiB, which is enough for
// [signpost.WithMaxPayload]'s default.
func WithMaxBytes(n int) Option {
	return func(c *config) {
		if n < 1<<10 || n > 64<<20 {
			c.problem("WithMaxBytes(%d): give 1 KiB to 64 MiB", n)
			return
		}
		c.maxBytes = n
	}
}

// WithPrefetch sets how many messages an instance takes from the broker before they are received. When half of them are
// held back ([Queue.Hold]) the rest of those goes to the delay topics. Default: 1000, and 64 MiB of payloads.
func WithPrefetch(n int) Option {
	return func(c *config) {
		if n < 2 || n > 100_000 {
			c.problem("WithPrefetch(%d): give 2 to 100000", n)
			return
		}
		c.prefetch = n
	}
}

// WithClientOptions adds options for the clients that the queue makes, such as kgo.DialTLSConfig and kgo.SASL. What the
// promise rests on can't be changed: acknowledgements, the consumer group and its offsets.
func WithClientOptions(opts ...kgo.Opt) Option {
	return func(c *config) { c.client = append(c.client, opts...) }
}

func (c *config) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("kafka: "+format, args...))
}

func newConfig(brokers []string, opts []Option) (*config, error) {
	c := &config{
		logger: slog.Default(), prefix: "signpost", partitions: defaultPartitions, replication: -1, maxBytes: defaultMaxBytes,
		prefetch: defaultPrefetch, steps: ladder.Steps(), window: defaultWindow, metadata: defaultMetadata,
	}
	if len(brokers) == 0 {
		c.problem(`Open: no brokers; give addresses of some, such as "kafka-1:9092"`)
	}
	for _, b := range brokers {
		if b == "" || strings.ContainsAny(b, "/@ ,") {
			c.problem("Open: broker %q: give host and port, such as kafka-1:9092; credentials belong into WithClientOptions",
				b[strings.LastIndex(b, "@")+1:]) // what is before that may be a password
		}
	}
	for i, o := range opts {
		if o == nil {
			c.problem("option %d of %d is nil", i+1, len(opts))
			continue
		}
		o(c)
	}
	return c, errors.Join(c.problems...)
}
