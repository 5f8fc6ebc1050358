package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

const (
	slowerDisk = 2 * time.Millisecond // by which fsync is slower on the simulated disk
	manyWait   = 1_000_000
)

// writes returns the runs of a way under a condition.
func writes(r *result.Report, way string, producers int, delay time.Duration) []result.Written {
	for _, w := range r.Durable.Writes {
		if w.Way == way && w.Producers == producers && w.Delay == delay {
			return w.Runs
		}
	}
	return nil
}

func rate(runs []result.Written) float64 { return result.Median(each(runs, result.Written.Rate)) }

// best returns the faster of the two ways to write each message by itself.
func best(r *result.Report, producers int, delay time.Duration) []result.Written {
	one, several := writes(r, result.Single, producers, delay), writes(r, result.Pool, producers, delay)
	if rate(several) > rate(one) {
		return several
	}
	return one
}

// gains returns how many times as many messages the queue makes durable as the best other way, for each pair of runs.
func gains(r *result.Report, producers int, delay time.Duration) []float64 {
	group, other := writes(r, result.Group, producers, delay), best(r, producers, delay)
	var gains []float64
	for i := range min(len(group), len(other)) {
		if base := other[i].Rate(); base > 0 {
			gains = append(gains, group[i].Rate()/base)
		}
	}
	return gains
}

// commits is how many commits the median run made for a message.
func commits(runs []result.Written) float64 {
	return result.Median(each(runs, func(w result.Written) float64 { return float64(w.Commits) / float64(max(1, w.Messages)) }))
}

func moreDurable(r *result.Report, what string, producers int, delay time.Duration) promise {
	p := promise{what: what, promised: "≥ " + times(durableAtLeast), measured: "–", verdict: notMeasured}
	g := gains(r, producers, delay)
	if len(g) == 0 {
		return p
	}
	gain, group, other := result.Median(g), writes(r, result.Group, producers, delay), best(r, producers, delay)
	p.verdict = verdict(gain >= durableAtLeast)
	p.measured = fmt.Sprintf("%s (%s/s beside %s/s; %s commits a message beside %s; fsync takes %s)",
		times(gain), significant(rate(group)), significant(rate(other)),
		significant(commits(group)), significant(commits(other)), duration(r.Durable.Fsync+delay))
	return p
}

// take returns the runs that received messages while so many waited.
func take(r *result.Report, settled bool, due, later int) []float64 {
	for _, t := range r.Durable.Takes {
		if t.Settled == settled && t.Due == due && t.Later == later {
			return each(t.Runs, func(d time.Duration) time.Duration { return d })
		}
	}
	return nil
}

// flat judges what it costs to receive a message while a million wait, which are due, or of which later millions are not.
func flat(r *result.Report, what string, settled bool, later int) promise {
	const few = 1000
	due := manyWait
	if later > 0 {
		due = few
	}
	cost := func(runs []float64) float64 {
		if len(runs) == 0 {
			return unknown
		}
		return result.Median(runs)
	}
	base, among := cost(take(r, settled, few, 0)), float64(unknown)
	for _, t := range r.Durable.Takes {
		if t.Due == due && (t.Later > 0) == (later > 0) {
			among = cost(take(r, settled, due, t.Later))
		}
	}
	p := atMost(what, flatAtMost, quotient(among, base), times)
	p.promised = "flat (" + p.promised + ")"
	if p.verdict != notMeasured {
		p.measured += fmt.Sprintf(" (%s beside %s)", nanoseconds(among), nanoseconds(base))
	}
	return p
}

// backlogs returns the runs of a scenario in which messages wait for a dead host.
func backlogs(r *result.Report, scenario string) []result.Isolation {
	var runs []result.Isolation
	for _, s := range r.Durable.Backlogs {
		i := slices.IndexFunc(s.Isolation, func(i result.Isolation) bool { return i.Sender == result.Signpost })
		if s.Name == scenario && i >= 0 && s.Isolation[i].Healthy > 0 {
			runs = append(runs, s.Isolation[i])
		}
	}
	return runs
}
