package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/signpost-go/signpost"
)

// maxDelay bounds the healthy receiver's p99 from Send to arrival. It needs about a millisecond, and gets a
// thousand for slow and noisy machines; but where hung can fill the pool, the others wait for its timeouts,
// one after the other, and soon for many times as long.
const maxDelay = timeout

// watch shows stats until the returned function is called: in place, as suits a terminal, or a line a second.
func watch(w io.Writer, inPlace bool, stats func() signpost.Stats) (stop func()) {
	every, begin, end := time.Second, "", "\n"
	if inPlace {
		every, begin, end = 100*time.Millisecond, "\r", ""
	}
	show := func() {
		s := stats()
		fmt.Fprintf(w, "%sdelivered %4d   retrying %4d   dead %4d   in flight %4d   queued %4d%s",
			begin, s.Delivered, s.Waiting, s.Dead, s.InFlight, s.Queued, end)
	}
	stopped := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show()
			case <-stopped:
				show()
				fmt.Fprint(w, strings.Repeat("\n", 2-len(end)))
				return
			}
		}
	})
	return func() {
		close(stopped)
		watching.Wait()
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func printTable(w io.Writer, rows []*row) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "receiver\thost\tsent\tdelivered\tattempts\tdead\tp50\tp99\t")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n",
			r.name, r.host, r.sent, r.delivered, r.attempts, r.dead, r.show(50), r.show(99))
	}
	t.Flush()
	fmt.Fprintln(w, "\np50 and p99: from Send to a message's first arrival with a valid signature, if it arrived.")
}

// show is a percentile for people.
func (r *row) show(p float64) string {
	if len(r.delays) == 0 {
		return "-"
	}
	d := r.percentile(p)
	if d < time.Second {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// printReasons tells why messages died, by host.
func printReasons(w io.Writer, rows []*row) {
	fmt.Fprint(w, "\nWhy messages died:\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		byText := func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) }
		for _, reason := range slices.SortedFunc(maps.Keys(r.deaths), byText) {
			fmt.Fprintf(t, "%s\t%s\t%d\t   %v\n", r.name, r.host, r.deaths[reason], reason)
		}
	}
	t.Flush()
	fmt.Fprintln(w)
}

// verdict says that all went as it should, or returns what did not.
func verdict(w io.Writer, rows []*row) error {
	var problems []error
	for _, r := range rows {
		switch wrong := r.sent - r.right; {
		case wrong > 0 && len(r.reasons) == 0:
			problems = append(problems, fmt.Errorf("%s: %d of %d messages were not delivered", r.name, wrong, r.sent))
		case wrong > 0:
			problems = append(problems, fmt.Errorf("%s: %d of %d messages were not reported dead with %q", r.name, wrong, r.sent, r.reasons))
		}
		if p99 := r.percentile(99); r.name == "healthy" && p99 > maxDelay {
			problems = append(problems, fmt.Errorf("%s: a p99 of %v, over %v: it had to wait for the others", r.name, p99, maxDelay))
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	fmt.Fprintln(w, "All is well: every message ended as it should, and the healthy receiver waited for nobody.")
	return nil
}
