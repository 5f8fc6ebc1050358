// Durable is a shop that announces its orders by webhook and forgets none of them, whatever happens to it:
//
//	go run ./examples/durable             sells until it is stopped. Kill it at any time, with kill -9 too, and start it again
//	go run ./examples/durable -list       what became of every webhook; beside a running shop, too
//	go run ./examples/durable -dead       the same of those that were given up, with every attempt
//	go run ./examples/durable -redeliver  brings back the receiver that is gone, and sends those again
//
// An order is stored in the shop's own database first, and announced to three receivers afterwards. Between the two the
// shop may die; so it announces again, when it starts, what isn't marked as announced. As a message's ID is made of the
// order's number, the outbox takes each in once.
//
// The receivers are real HTTP servers on loopback, and verify every request. The warehouse is well, accounts fails with
// every fourth webhook at first, and the newsletter is gone, until -redeliver brings it back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "durable:", err)
		os.Exit(1)
	}
}

// A lineWriter lets the dispatcher's goroutines and the shop write without mixing their lines.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A task is what the command line asks for.
type task struct {
	dir    string // of the shop's files
	listen string // the receivers' address; messages that wait know it, so it must stay the same
	pace   time.Duration
	list, dead, redeliver,
	verbose bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	t, err := parse(args, stderr)
	stdout = &lineWriter{w: stdout}
	switch {
	case err != nil:
		return err
	case t.list, t.dead:
		return printLog(ctx, t, stdout)
	case t.redeliver:
		return sendAgain(ctx, t, stdout, stderr)
	}
	return sell(ctx, t, stdout, stderr)
}

func parse(args []string, stderr io.Writer) (*task, error) {
	var t task
	flags := flag.NewFlagSet("durable", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&t.dir, "dir", filepath.Join(os.TempDir(), "signpost-shop"), "the shop's `folder`, made if it isn't there")
	flags.StringVar(&t.listen, "listen", "127.0.0.1:8471", "the receivers' `address`; keep it as long as webhooks wait")
	flags.DurationVar(&t.pace, "pace", 250*time.Millisecond, "an order every so often")
	flags.BoolVar(&t.list, "list", false, "show what became of every webhook")
	flags.BoolVar(&t.dead, "dead", false, "show the webhooks that were given up, with every attempt")
	flags.BoolVar(&t.redeliver, "redeliver", false, "send the webhooks that were given up again")
	flags.BoolVar(&t.verbose, "v", false, "show the library's log")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: there are flags only, see -help", flags.Arg(0))
	}
	if t.pace <= 0 {
		return nil, fmt.Errorf("-pace %v: give a time above zero", t.pace)
	}
	if n := btoi(t.list) + btoi(t.dead) + btoi(t.redeliver); n > 1 {
		return nil, errors.New("-list, -dead and -redeliver: one at a time")
	}
	return &t, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sell is the shop: it takes orders until ctx is done, then stops in good order.
func sell(ctx context.Context, t *task, stdout, stderr io.Writer) (err error) {
	o, err := openOutbox(ctx, t, false, stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	s, err := openShop(ctx, t.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	counts, err := o.queue.Counts(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "The outbox has %d pending webhooks, %d delivered, %d dead. Kill this process with: kill -9 %d\n",
		counts.Pending, counts.Delivered, counts.Dead, os.Getpid())
	again, err := s.announceAgain(ctx, o)
	if err != nil {
		return err
	}
	if again > 0 {
		fmt.Fprintf(stdout, "%d orders may not have been announced before the shop died: announced.\n", again)
	}
	for tick := time.Tick(t.pace); ; {
		select {
		case <-tick:
			if err := s.sell(ctx, o); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			fmt.Fprintln(stdout, "Closed. What waits goes on when the shop is started again.")
			return nil
		}
	}
}

// sendAgain brings the newsletter back, and sends again what was given up, until nothing is pending.
func sendAgain(ctx context.Context, t *task, stdout, stderr io.Writer) (err error) {
	o, err := openOutbox(ctx, t, true, stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	n, err := o.redeliver(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d dead webhooks are pending again.\n", n)
	for tick := time.Tick(100 * time.Millisecond); ; {
		counts, err := o.queue.Counts(ctx)
		if err != nil {
			return err
		}
		if counts.Pending == 0 {
			fmt.Fprintf(stdout, "Nothing is pending any more: %d webhooks are delivered, %d dead.\n", counts.Delivered, counts.Dead)
			return nil
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
