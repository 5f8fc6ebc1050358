package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// A tally counts what the ledger doesn't.
type tally struct {
	refused     atomic.Int64 // ErrQueueFull
	refusedCalm atomic.Int64 // … for places that are calm
	changes     atomic.Int64 // of kinds of places

	mu   sync.Mutex // protects the following field
	dead map[string]int
}

func (t *tally) refuse(calm bool) {
	t.refused.Add(1)
	if calm {
		t.refusedCalm.Add(1)
	}
}

func (t *tally) die(reason error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead == nil {
		t.dead = make(map[string]int)
	}
	t.dead[strings.TrimPrefix(reason.Error(), "signpost: ")]++
}

// A statusLine is one line that is written again and again, where it is on a terminal; elsewhere, a line now and then.
type statusLine struct {
	w        io.Writer
	terminal bool
	every    time.Duration
}

func newStatusLine(w io.Writer, every time.Duration) *statusLine {
	l := &statusLine{w: w, every: every}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		l.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if l.terminal {
		l.every = time.Second
	}
	return l
}

func (l *statusLine) show(text string) {
	if l.terminal {
		fmt.Fprintf(l.w, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(l.w, text)
	}
}

func (l *statusLine) end() {
	if l.terminal {
		fmt.Fprintln(l.w)
	}
}

// show shows how it goes, and keeps the peaks and the ledger small, until ctx is done.
func (s *soak) show(ctx context.Context) {
	fmt.Fprintf(s.live.w, "soak: seed %d, %d hosts, %g messages/s for %v\n", s.config.seed, s.config.hosts, s.config.rate, s.config.duration)
	measure := time.NewTicker(250 * time.Millisecond)
	defer measure.Stop()
	show := time.NewTicker(s.live.every)
	defer show.Stop()
	forget := time.NewTicker(s.config.forget / 6)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			s.live.end()
			return
		case <-measure.C:
			s.meter.read()
		case <-forget.C:
			s.ledger.Forget(s.config.forget)
		case <-show.C:
			s.live.show(s.status())
		}
	}
}

func (s *soak) status() string {
	left := "finishing"
	if d := s.config.duration - time.Since(s.begun); d > 0 {
		left = d.Round(time.Second).String() + " left"
	}
	b, st, r, q := s.ledger.Balance(), s.current().Stats(), s.meter.read(), s.lately.take()
	return fmt.Sprintf("%s | accepted %d delivered %d dead %d | due %d waiting %d in flight %d | handed back %d duplicates %d requests %d | "+
		"refused %d (calm %d) | heap %s goroutines %d files %s | calm receivers %v",
		left, b.Messages, b.Delivered, b.Dead, st.Queued, st.Waiting, st.InFlight, s.handedBack.Load(), b.Duplicates, b.Requests,
		s.tally.refused.Load(), s.tally.refusedCalm.Load(), mebibytes(r.heap), r.goroutines, number(r.files), q)
}

// report writes the table.
func (s *soak) report(took time.Duration, after reading, childCPU time.Duration) {
	b, peak := s.ledger.Balance(), s.meter.peak
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("duration", "%v", took.Round(time.Second))
	row("seed", "%d", s.config.seed)
	row("hosts", "%d, with %d endpoints, which changed their kind %d times", s.config.hosts, len(s.places.all), s.tally.changes.Load())
	row("messages", "%d", b.Messages)
	row("delivered", "%d", b.Delivered)
	row("dead", "%d", b.Dead)
	for _, reason := range sortedKeys(s.tally.dead) {
		row("  "+reason, "%d", s.tally.dead[reason])
	}
	row("handed back for good", "%d", b.HandedBack)
	row("attempts", "%d", b.Attempts)
	row("requests that arrived", "%d", b.Requests)
	row("duplicates", "%d", b.Duplicates)
	row("restarts", "%d, with %d messages handed back", s.restarts.Load(), s.handedBack.Load())
	row("refused (queue full)", "%d, %d of them for calm receivers", s.tally.refused.Load(), s.tally.refusedCalm.Load())
	row("from Send to arrival at calm receivers", "")
	row("  with a host of their own", "%v", s.alone.quantiles())
	row("  beside ill endpoints of the same host", "%v", s.shared.quantiles())
	row("lateness of timers, for comparison", "%v", s.lateness.quantiles())
	row("heap", "before %s  peak %s  final %s", mebibytes(s.before.heap), mebibytes(peak.heap), mebibytes(after.heap))
	row("goroutines", "before %d  peak %d  final %d", s.before.goroutines, peak.goroutines, after.goroutines)
	row("open files", "before %s  peak %s  final %s", number(s.before.files), number(peak.files), number(after.files))
	own := "n/a"
	if d, known := cpuTime(); known {
		own = d.Round(10 * time.Millisecond).String()
	}
	row("CPU time", "%s, the receivers %v", own, childCPU.Round(10*time.Millisecond))
	w.Flush()
}

// verdict writes what is wrong, if anything, and returns the exit status.
func (s *soak) verdict(problems []string) int {
	const most = 20
	for i, p := range problems {
		if i == most {
			fmt.Fprintf(s.out, "problem: … and %d more\n", len(problems)-most)
			break
		}
		fmt.Fprintln(s.out, "problem:", p)
	}
	if len(problems) > 0 {
		return 1
	}
	fmt.Fprintln(s.out, "the ledger balances")
	return 0
}

func sortedKeys(m map[string]int) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (q quantiles) String() string {
	if q.n == 0 {
		return "n/a"
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
	return fmt.Sprintf("p50 %s p99 %s max %s of %d", ms(q.p50), ms(q.p99), ms(q.max), q.n)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func number(n int) string {
	if n == unknown {
		return "n/a"
	}
	return strconv.Itoa(n)
}
