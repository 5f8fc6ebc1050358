package report

import (
	"fmt"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

func durable(d *document, r *result.Report) {
	q := &r.Durable
	if len(q.Writes) == 0 && len(q.Ends) == 0 && q.Size.Messages == 0 && len(q.Takes) == 0 && len(q.Backlogs) == 0 {
		return
	}
	d.heading(2, "The durable queue in a file")
	d.paragraph("`queue/sqlite` beside what one would write by hand: " +
		"the same table, settings (a write-ahead log, synchronous=FULL) and driver. " +
		"Payloads are 1 KiB, and messages are for 100 hosts, where nothing else is said.")
	durableWrites(d, r)
	durableEnds(d, r)
	durableSize(d, r)
	durableTakes(d, r)
	durableBacklogs(d, r)
}

func durableWrites(d *document, r *result.Report) {
	if len(r.Durable.Writes) == 0 {
		return
	}
	d.heading(3, "Messages durable a second")
	d.paragraph(fmt.Sprintf("Each caller waits until its message is durable. Each commit waits for an fsync, which takes %s on the disk of this run, "+
		"with a write of 4 KiB: the longer it takes, the more it matters that many messages share one. "+
		"CPU time is that of the process, callers included.", duration(r.Durable.Fsync)))
	var rows [][]string
	simulated := false
	for _, w := range r.Durable.Writes {
		if len(w.Runs) == 0 {
			continue
		}
		on := "as it is"
		if w.Delay > 0 {
			on, simulated = "simulated, "+duration(w.Delay)+" slower", true
		}
		rows = append(rows, []string{
			count(w.Producers), on, w.Way, spread(each(w.Runs, result.Written.Rate), significant), significant(commits(w.Runs)),
			spread(each(w.Runs, func(w result.Written) time.Duration { return w.CPU / time.Duration(max(1, w.Messages)) }), nanoseconds),
		})
	}
	d.table("rllrrr", []string{"callers", "disk", "way", "messages/s", "commits per message", "CPU per message"}, rows)
	if simulated {
		d.paragraph("The simulated disk is the machine's; strace holds back the thread that calls fsync. This adds CPU time to each commit.")
	}
	if r.Durable.NotSlow != "" {
		d.paragraph("There is no simulated slower disk in this run: " + r.Durable.NotSlow + ".")
	}
}

func durableEnds(d *document, r *result.Report) {
	if len(r.Durable.Ends) == 0 {
		return
	}
	d.heading(3, "End to end")
	d.paragraph("From 64 callers of Send to delivered and settled, over plain HTTP to 100 hosts, with 64 workers, as fast as it goes. " +
		"The receivers share the machine.")
	var rows [][]string
	for _, e := range r.Durable.Ends {
		where := "in memory"
		if e.Durable {
			where = "in a file"
		}
		rows = append(rows, []string{
			where, spread(each(e.Runs, result.Ended.Rate), significant),
			spread(each(e.Runs, func(e result.Ended) time.Duration { return e.CPU / time.Duration(max(1, e.Messages)) }), nanoseconds),
		})
	}
	d.table("lrr", []string{"queue", "messages/s", "CPU per message"}, rows)
}

func durableSize(d *document, r *result.Report) {
	s := r.Durable.Size
	if s.Messages == 0 {
		return
	}
	per := func(total int64) string { return count(int(total)/s.Messages) + " B" }
	d.heading(3, "Bytes on disk per message")
	d.table("rrr", []string{"messages", "while they wait", "delivered, by one attempt each"},
		[][]string{{count(s.Messages), per(s.Pending), per(s.Delivered)}})
}

func durableTakes(d *document, r *result.Report) {
	if len(r.Durable.Takes) == 0 {
		return
	}
	d.heading(3, "Receiving, by how many wait")
	d.paragraph("CPU time for each message that is received, and for each that is received and settled as delivered with its attempt, " +
		"by 64 goroutines at the same time. " +
		"Payloads are 200 B. Messages are read from the file, which was just opened.")
	var rows [][]string
	for _, t := range r.Durable.Takes {
		if t.Settled {
			continue
		}
		rows = append(rows, []string{
			count(t.Due), count(t.Later), spread(take(r, false, t.Due, t.Later), nanoseconds), spread(take(r, true, t.Due, t.Later), nanoseconds),
		})
	}
	d.table("rrrr", []string{"wait and are due", "wait and are not", "receive", "receive and settle"}, rows)
}

func durableBacklogs(d *document, r *result.Report) {
	if len(r.Durable.Backlogs) == 0 {
		return
	}
	d.heading(3, "Live hosts beside a dead one")
	var items []string
	var rows [][]string
	seen := map[string]bool{}
	for _, s := range r.Durable.Backlogs {
		if seen[s.Name] {
			continue
		}
		seen[s.Name] = true
		items = append(items, fmt.Sprintf("**%s**: %s. %s.", s.Name, clause(s.About), settings(s)))
		if runs := backlogs(r, s.Name); len(runs) > 0 {
			rows = append(rows, aloneRow(s.Name, runs))
		}
	}
	d.list(items)
	d.table("lrrrrrrrrrr", append([]string{"scenario", "runs"}, isolationColumns...), rows)
}

// durableFigures is what README says of the queue.
func durableFigures(d *document, r *result.Report) {
	g, ends := gains(r, 64, 0), r.Durable.Ends
	if len(g) == 0 || len(ends) == 0 {
		return
	}
	var end float64
	for _, e := range ends {
		if e.Durable {
			end = result.Median(each(e.Runs, result.Ended.Rate))
		}
	}
	d.paragraph(fmt.Sprintf("With the durable queue in a file, 64 callers get %s messages a second made durable, "+
		"%s as many as with one transaction per message (an fsync takes %s here); "+
		"%s a second go all the way, from Send to delivered and settled.",
		significant(rate(writes(r, result.Group, 64, 0))), times(result.Median(g)), duration(r.Durable.Fsync), significant(end)))
}
