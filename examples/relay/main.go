// Relay delivers webhooks for services that are written in another language than Go, or want to leave it to others. They put
// messages into RabbitMQ or Kafka, as docs/wire.md says; any number of relays takes them from there, signs and sends them:
//
//	SIGNPOST_QUEUE=amqp://guest:guest@localhost/ SIGNPOST_SECRET=whsec_… go run .
//
// Everything is set in the environment, see config.go or README.md. A relay says what it does in its log (JSON, on stderr), and how
// it is at /healthz, /readyz and /stats. SIGTERM lets it finish what it has begun; a second one ends it at once.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/signpost-go/signpost"
)

// version is set when the relay is built: go build -ldflags "-X main.version=1.2.3".
var version = "devel"

func main() {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, restore, os.Environ(), os.Stderr)
	restore()
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

// run is the relay's life: it ends well when ctx does. From then on restore gives signals back their usual effect.
//
// The probes are answered first, so that a relay that waits for its broker isn't taken for a dead one. The end is the beginning
// backwards: the dispatcher, its queue, the probes.
func run(ctx context.Context, restore func(), environ []string, stderr io.Writer) error {
	c, err := readConfig(environ)
	if err != nil {
		return err
	}
	log := newLogger(c, stderr)
	s, err := serve(c, log)
	if err != nil {
		return err
	}
	err = errors.Join(deliver(ctx, restore, c, s, log), s.close())
	log.Info("relay: stopped")
	return err
}

func deliver(ctx context.Context, restore func(), c *config, s *server, log *slog.Logger) error {
	log.Info("relay: waiting for the queue", "queue", c.source.name, "version", version)
	q, err := openQueue(ctx, c, log)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it waited
		}
		return err
	}
	d, err := signpost.New(options(c, q, log)...)
	if err != nil {
		return errors.Join(err, q.Close())
	}
	s.begin(q, d)
	log.Info("relay: delivering")

	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	restore()
	s.drain()
	log.Info("relay: draining", "at_most", c.drain)
	limit, cancel := context.WithTimeout(context.Background(), c.drain)
	defer cancel()
	err = errors.Join(err, d.Shutdown(limit))
	if limit.Err() != nil {
		log.Warn("relay: what isn't delivered goes back to the queue")
	}
	return errors.Join(err, q.Close())
}

// options are the dispatcher's.
func options(c *config, q queue, log *slog.Logger) []signpost.Option {
	return []signpost.Option{
		signpost.WithQueue(q),
		signpost.WithSigner(c.signer),
		signpost.WithRateLimit(c.rate, c.rateBurst()),
		signpost.WithHostConcurrency(c.hostConcurrency),
		signpost.WithWorkers(c.workers),
		signpost.WithQueueSize(c.queueSize),
		signpost.WithQueueBytes(int64(c.queueBytes)),
		signpost.WithTimeout(c.timeout),
		signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: c.maxAttempts, MaxAge: c.maxAge}),
		signpost.WithAllowedNetworks(c.allowed...),
		signpost.WithDeniedNetworks(c.denied...),
		signpost.WithLogger(log),
		signpost.WithObserver(logDelivered(log)),
	}
}

// logDelivered logs what was delivered; of retries and dead messages the library tells. So each message's end is in the log,
// which is the only record of it: a broker forgets what it has handed out.
func logDelivered(log *slog.Logger) func(context.Context, *signpost.Message, signpost.Outcome) {
	return func(ctx context.Context, m *signpost.Message, o signpost.Outcome) {
		if o.State == signpost.Delivered {
			log.InfoContext(ctx, "relay: delivered", "id", m.ID, "url", m.Endpoint(), "attempt", o.Attempt.Number,
				"status", o.Attempt.StatusCode, "start", o.Attempt.Start, "duration", o.Attempt.Duration)
		}
	}
}

func newLogger(c *config, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.logLevel, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration { // nanoseconds otherwise, in JSON
			a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
		}
		return a
	}}
	if c.logFormat == "text" {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}
