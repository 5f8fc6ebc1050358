package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/signpost-go/signpost/queue/sqlite"
)

// printLog shows what became of the webhooks. It only reads, so the shop may be running.
func printLog(ctx context.Context, t *task, stdout io.Writer) (err error) {
	log, err := sqlite.OpenLog(ctx, outboxFile(t))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	var filter sqlite.Filter
	if t.dead {
		filter.State = sqlite.Dead
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WEBHOOK\tSTATE\tSINCE\tATTEMPTS\tLAST\tREASON")
	for r, err := range log.Messages(ctx, filter) {
		if err != nil {
			return errors.Join(err, table.Flush())
		}
		last := ""
		if n := len(r.Attempts); n > 0 {
			last = result(r.Attempts[n-1].StatusCode, r.Attempts[n-1].Err)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Message.ID, r.State, r.ChangedAt.Local().Format(time.DateTime), len(r.Attempts), last, r.Reason)
		if t.dead {
			for _, a := range r.Attempts {
				fmt.Fprintf(table, "  %s\t%v\t%s\t\t\t\n", a.Start.Local().Format(time.StampMilli), a.Duration.Round(time.Microsecond), result(a.StatusCode, a.Err))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	counts, err := log.Counts(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "\n%d pending, %d delivered, %d dead\n", counts.Pending, counts.Delivered, counts.Dead)
	return err
}

func result(status int, err error) string {
	if status == 0 && err != nil {
		return err.Error()
	}
	return fmt.Sprint(status)
}
