package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// grace is how long the shop, once stopped, waits for what is on its way.
const grace = 2 * time.Second

// An outbox is what delivers the shop's webhooks: the queue in a file, the dispatcher that empties it, and here the
// receivers too.
type outbox struct {
	queue      *sqlite.Queue
	dispatcher *signpost.Dispatcher
	server     *server
	base       string // of the receivers' URLs
}

func outboxFile(t *task) string { return filepath.Join(t.dir, "outbox.db") }

func openOutbox(ctx context.Context, t *task, mended bool, stdout, stderr io.Writer) (*outbox, error) {
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return nil, err
	}
	queue, err := sqlite.Open(ctx, outboxFile(t), sqlite.WithRetention(30*24*time.Hour))
	if err != nil {
		return nil, err
	}
	o := &outbox{queue: queue, base: "http://" + t.listen}
	if err := o.start(t, mended, stdout, stderr); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

func (o *outbox) start(t *task, mended bool, stdout, stderr io.Writer) error {
	secret, err := loadSecret(filepath.Join(t.dir, "secret"))
	if err != nil {
		return err
	}
	if o.server, err = serve(t.listen, secret, mended); err != nil {
		return err
	}
	logger := slog.New(slog.DiscardHandler)
	if t.verbose {
		logger = slog.New(slog.NewTextHandler(stderr, nil))
	}
	o.dispatcher, err = signpost.New(
		signpost.WithQueue(o.queue), // the one line that makes it durable
		signpost.WithSecret(secret.Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8"), // only public addresses are open by default
		signpost.WithRateLimit(2000, 100),           // for each host; here all receivers are one
		signpost.WithTimeout(2*time.Second),
		signpost.WithRetryPolicy(signpost.RetryPolicy{ // short, so that there is something to see; a shop would keep the default
			MaxAttempts: 4,
			MaxAge:      time.Minute,
			BackOff: func() backoff.BackOff {
				return backoff.NewExponentialBackOff(backoff.WithInitialInterval(200 * time.Millisecond))
			},
		}),
		signpost.WithObserver(report(stdout)),
		signpost.WithLogger(logger),
	)
	return err
}

// report prints every outcome on a line of its own.
func report(w io.Writer) func(context.Context, *signpost.Message, signpost.Outcome) {
	return func(_ context.Context, m *signpost.Message, o signpost.Outcome) {
		switch o.State {
		case signpost.Delivered:
			fmt.Fprintf(w, "delivered %s, attempt %d\n", m.ID, o.Attempt.Number)
		case signpost.Retrying:
			fmt.Fprintf(w, "retrying  %s in %v: status %d\n", m.ID, time.Until(o.RetryAt).Round(time.Millisecond), o.Attempt.StatusCode)
		case signpost.Dead:
			fmt.Fprintf(w, "dead      %s: %v\n", m.ID, o.Reason)
		}
	}
}

func (o *outbox) url(r receiver) string { return o.base + "/" + r.name }

// redeliver makes all dead messages pending again.
func (o *outbox) redeliver(ctx context.Context) (int, error) {
	return o.queue.RedeliverAll(ctx, sqlite.Filter{State: sqlite.Dead})
}

// close stops in the order in which one thing needs the other: the dispatcher, its queue, and at last the receivers.
func (o *outbox) close() error {
	var errs []error
	if o.dispatcher != nil {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		errs = append(errs, o.dispatcher.Shutdown(ctx))
	}
	errs = append(errs, o.queue.Close())
	if o.server != nil {
		errs = append(errs, o.server.close())
	}
	return errors.Join(errs...)
}

// loadSecret returns the secret that the shop shares with its receivers. It is made once.
func loadSecret(file string) (signpost.Secret, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return signpost.ParseSecret(strings.TrimSpace(string(text)))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return signpost.Secret{}, err
	}
	secret := signpost.NewSecret()
	if err := os.WriteFile(file+".new", []byte(secret.Reveal()+"\n"), 0o600); err != nil {
		return signpost.Secret{}, err
	}
	return secret, os.Rename(file+".new", file) // a shop that dies here has no secret, or all of it
}
