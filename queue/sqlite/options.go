package sqlite

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// An Option changes how [Open] opens a queue. It only records; Open validates.
type Option func(*config)

type config struct {
	logger    *slog.Logger
	retention time.Duration // 0: for ever
	response  int           // bytes
	problems  []error
}

// defaultResponse is how many bytes of a response are kept, if nothing else is said.
const defaultResponse = 1 << 10

// maxResponse is what signpost reads of a response.
const maxResponse = 16 << 10

// WithLogger has what the queue does by itself logged: damaged messages that it puts aside, and pruning that fails.
// Default: slog.Default.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l == nil {
			c.problems = append(c.problems, errors.New("sqlite: WithLogger: logger nil; leave the option out for slog.Default"))
			return
		}
		c.logger = l
	}
}

// WithRetention has messages that ended longer ago than d pruned with their attempts, in the background: delivered
// ones and dead ones. Default: they are kept until [Queue.Prune] is called.
func WithRetention(d time.Duration) Option {
	return func(c *config) {
		if d < time.Second {
			c.problems = append(c.problems, fmt.Errorf("sqlite: WithRetention(%v): give a second or more; leave the option out to keep all", d))
			return
		}
		c.retention = d
	}
}

// WithResponseBytes sets how many of a response's first bytes are kept with its attempt: 0 for none, 16 KiB at most.
// Default: 1 KiB.
func WithResponseBytes(n int) Option {
	return func(c *config) {
		if n < 0 || n > maxResponse {
			c.problems = append(c.problems, fmt.Errorf("sqlite: WithResponseBytes(%d): give 0 to %d", n, maxResponse))
			return
		}
		c.response = n
	}
}

func newConfig(opts []Option) (*config, error) {
	c := &config{logger: slog.Default(), response: defaultResponse}
	for i, o := range opts {
		if o == nil {
			c.problems = append(c.problems, fmt.Errorf("sqlite: option %d of %d is nil", i+1, len(opts)))
			continue
		}
		o(c)
	}
	return c, errors.Join(c.problems...)
}
