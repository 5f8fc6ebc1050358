package senders

import (
	"context"
	"log/slog"
	"os"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/kafka"
	"github.com/signpost-go/signpost/queue/rabbitmq"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// openQueue opens signpost's durable queue; nil if it has none.
func openQueue(c Config) (signpost.Queue, error) {
	ctx := context.Background()
	switch {
	case c.File != "":
		return opened(sqlite.Open(ctx, c.File))
	case c.RabbitMQ != "":
		return opened(rabbitmq.Open(ctx, c.RabbitMQ, rabbitmq.WithPrefix(c.Name), rabbitmq.WithLogger(complaints())))
	case c.Kafka != "":
		return opened(kafka.Open(ctx, []string{c.Kafka}, kafka.WithPrefix(c.Name), kafka.WithLogger(complaints())))
	}
	return nil, nil
}

// complaints is a log for what must not go by unseen.
func complaints() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// opened makes a queue an interface, which is nil if it couldn't be opened.
func opened[Q signpost.Queue](q Q, err error) (signpost.Queue, error) {
	if err != nil {
		return nil, err
	}
	return q, nil
}
