package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/kafka"
	"github.com/signpost-go/signpost/queue/rabbitmq"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// A queue is what a relay delivers from.
type queue interface {
	signpost.Queue
	// Healthy returns nil as long as messages can come.
	Healthy(ctx context.Context) error
}

// openQueue waits until the queue is there, or ctx is done. An error that waiting wouldn't mend comes at once.
func openQueue(ctx context.Context, c *config, log *slog.Logger) (queue, error) {
	switch c.source.scheme {
	case "kafka":
		q, err := kafka.Open(ctx, c.source.hosts, kafka.WithPrefix(c.prefix), kafka.WithLogger(log),
			kafka.WithClientOptions(c.source.client...))
		if err != nil { // a nil *kafka.Queue would be a queue that isn't nil
			return nil, err
		}
		return q, nil
	case "sqlite":
		return openFile(ctx, c.source.path, log)
	default:
		q, err := rabbitmq.Open(ctx, c.source.url, rabbitmq.WithPrefix(c.prefix), rabbitmq.WithLogger(log),
			rabbitmq.WithPrefetch(prefetch(c.queueSize)))
		if err != nil {
			return nil, err
		}
		return &sharedQueue{Queue: q}, nil
	}
}

// prefetch is somewhat more than the dispatcher has room for, and what the queue takes at most.
func prefetch(queueSize int) int { return min(queueSize+queueSize/5+10, 60_000) }

// A sharedQueue is a queue/rabbitmq that remembers what it has told its dispatcher, for /stats.
type sharedQueue struct {
	*rabbitmq.Queue
	consumers atomic.Int64
}

// Consumers implements signpost.SharedQueue.
func (q *sharedQueue) Consumers(ctx context.Context) (int, error) {
	n, err := q.Queue.Consumers(ctx)
	if err == nil {
		q.consumers.Store(int64(n))
	}
	return n, err
}

func (q *sharedQueue) relays() int { return int(q.consumers.Load()) }

// A fileQueue is a queue/sqlite. Nothing can come between a relay and its file.
type fileQueue struct{ *sqlite.Queue }

func (fileQueue) Healthy(context.Context) error { return nil }

// openFile opens the file of a service that has stopped, or is about to: a relay takes over once it has. It makes no file:
// nobody could put a message into it.
func openFile(ctx context.Context, path string, log *slog.Logger) (queue, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("SIGNPOST_QUEUE: %w; a relay finishes what is in a file that a service has left", err)
	}
	for told := false; ; told = true {
		q, err := sqlite.Open(ctx, path, sqlite.WithLogger(log))
		if err == nil {
			return fileQueue{q}, nil
		}
		if !errors.Is(err, sqlite.ErrLocked) {
			return nil, err
		}
		if !told {
			log.Warn("relay: the file is in use, will try until it isn't", "err", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
