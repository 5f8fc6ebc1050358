// Quickstart sends webhooks to five receivers at once, of which only one is well. It needs nothing but Go:
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -payloads events.jsonl
//
// The receivers are real HTTP servers on loopback, and verify every request. One answers, one fails twice for every message, one asks to be
// left alone for a second, one hangs, and one is gone for good. What can be delivered is delivered, what can't is reported dead with its
// reason, and the healthy receiver notices nothing of the others: if any of that does not hold, the program says so and exits with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/signpost-go/signpost"
)

const (
	period  = 3 * time.Second  // over which the events are sent
	timeout = time.Second      // of one attempt
	maxAge  = 5 * time.Second  // of a message; the last are dead when period and maxAge are over
	limit   = 18 * time.Second // of the whole run, which takes about half of it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run is the program. It returns an error if anything did not go as it should.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	task, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not over within %v", limit))
	defer cancel()

	secret := signpost.NewSecret() // all that a sender and its receivers share
	receivers, err := startReceivers(secret)
	if err != nil {
		return err
	}
	defer stopReceivers(receivers)

	ledger := newLedger()
	dispatcher, err := newDispatcher(secret, ledger, task.logger)
	if err != nil {
		return err
	}
	defer dispatcher.Close()

	fmt.Fprintf(stdout, "Events: %d, each to %d receivers.\n\n", len(task.events), len(receivers))
	stopWatching := watch(stdout, task.inPlace && isTerminal(stdout), dispatcher.Stats)
	sendErr := send(ctx, dispatcher, task.events, receivers, ledger)
	if sendErr != nil {
		cancel() // there is nothing to wait for
	}
	shutdownErr := dispatcher.Shutdown(ctx) // returns when every message has ended, or ctx
	stopWatching()

	rows := ledger.rows(receivers)
	printTable(stdout, rows)
	printReasons(stdout, rows)
	switch {
	case sendErr != nil:
		return errors.Join(sendErr, shutdownErr)
	case shutdownErr != nil:
		return fmt.Errorf("%w: %w", context.Cause(ctx), shutdownErr)
	}
	return verdict(stdout, rows)
}

// A task is what the command line asks for.
type task struct {
	events  []event
	logger  *slog.Logger // the library's
	inPlace bool         // the live line may be written over
}

func parse(args []string, stderr io.Writer) (*task, error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	payloads := flags.String("payloads", "", fmt.Sprintf("send the first %d events of this `file`, a line %s each", maxEvents, eventForm))
	verbose := flags.Bool("v", false, "show the library's log")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: name a file of events with -payloads", flags.Arg(0))
	}
	t := &task{events: builtInEvents(), logger: slog.New(slog.DiscardHandler), inPlace: true}
	if *verbose {
		t.logger, t.inPlace = slog.New(slog.NewTextHandler(stderr, nil)), false
	}
	if *payloads != "" {
		var err error
		if t.events, err = loadEvents(*payloads); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// newDispatcher makes what delivers the webhooks. A service has one, for as long as it runs.
func newDispatcher(secret signpost.Secret, ledger *ledger, logger *slog.Logger) (*signpost.Dispatcher, error) {
	return signpost.New(
		signpost.WithSecret(secret.Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8"), // only public addresses are open by default
		signpost.WithWorkers(8),                     // few enough for hung to take them all, if it were let
		signpost.WithRateLimit(1000, 100),           // for each host: attempts a second, and at once
		signpost.WithTimeout(timeout),
		signpost.WithRetryPolicy(signpost.RetryPolicy{
			MaxAttempts: 5,
			MaxAge:      maxAge,
			BackOff: func() backoff.BackOff {
				return backoff.NewExponentialBackOff(backoff.WithInitialInterval(100 * time.Millisecond))
			},
		}),
		signpost.WithObserver(ledger.observe),
		signpost.WithLogger(logger),
	)
}

// send queues every event for every receiver, evenly over period. It waits for no delivery.
func send(ctx context.Context, d *signpost.Dispatcher, events []event, receivers []*receiver, ledger *ledger) error {
	pace := time.NewTicker(period / time.Duration(len(events)))
	defer pace.Stop()
	for i, event := range events {
		for _, r := range receivers {
			m := &signpost.Message{
				ID: fmt.Sprintf("msg_%s_%d", r.name, i+1),
				// Each event has a hook of its own, as if each were another customer's. The circuit breaker
				// pauses a hook that fails five times in a row, and flaky fails twice for every message.
				URL:       r.url + "/hooks/" + strconv.Itoa(i+1),
				Payload:   event.Payload,
				Header:    http.Header{"X-Event": {event.Name}},
				CreatedAt: time.Now(),
			}
			ledger.sent(m, r)
			switch err := d.Enqueue(ctx, m); {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				return fmt.Errorf("event %d, %q, to %s: %w", i+1, event.Name, r.name, err)
			}
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
