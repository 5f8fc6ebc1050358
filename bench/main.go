// Bench measures signpost beside what one would write or pick instead, and rewrites the pages that show it:
//
//	cd bench && go run .
//	cd bench && go run . -quick
//	cd bench && go run . -parts cost -only "1024 B"
//	cd bench && go run . -parts durable
//	cd bench && go run . -parts brokers
//
// It needs Linux, a limit of 10,000 open files and redis-server, and takes about 23 minutes on two cores. Nothing else should run
// meanwhile. With strace it can simulate a slower disk, too, and RabbitMQ and Kafka are measured where they are installed. Senders
// and receivers are processes of their own, so that the CPU time of one can be told from the other's; they are this program again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/signpost-go/signpost/bench/internal/machine"
	"github.com/signpost-go/signpost/bench/internal/progress"
	"github.com/signpost-go/signpost/bench/internal/report"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

func main() {
	trial.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	t, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if err := t.check(); err != nil {
		return err
	}
	defer t.close()
	begin := time.Now()
	r := &result.Report{Date: begin, Senders: senders.Reported(), Apart: t.alone}
	if r.Machine, err = machine.Describe(ctx); err != nil {
		return err
	}
	steps, err := t.steps(r)
	if err != nil {
		return err
	}
	if t.quick {
		fmt.Fprintln(stdout, "A quick run: it shows that everything works. Its figures mean nothing.")
	}
	if err := progress.Run(ctx, stderr, steps); err != nil {
		return err
	}
	r.Took = time.Since(begin)
	summarize(stdout, r)
	if !t.writes() {
		fmt.Fprintln(stdout, "\nNo file was written: for that, run everything, or name a folder with -out.")
		return nil
	}
	if err := report.Write(t.out, r); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nWritten to %s.\n", t.out)
	return nil
}
