package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// What signpost promises.
const (
	costAtMost         = 0.95
	sendAtMost         = 2000 // ns
	sendAllocsAtMost   = 6
	waitingAtMost      = 300 // bytes
	waitingApartAtMost = 700 // bytes, when each message has an endpoint of its own
	goroutinesAtMost   = 10  // of a million waiting messages and of the benchmark itself
	turnAtMost         = 3
	delayedAtMost      = 2
	connectionsAtMost  = 20
	limitMissedAtMost  = 0.02
	limitedHosts       = 1000
	durableAtLeast     = 10
	flatAtMost         = 2
)

// The names of benchmarks.
const (
	sendBytes       = "Send/1_KiB_of_bytes"
	waitingTogether = "Waiting/one_endpoint"
	waitingApart    = "Waiting/an_endpoint_each"
	turnOfAThousand = "Turn/hosts=1000"
	turnOfAMillion  = "Turn/hosts=1000000"
)

// The verdicts on a promise.
const (
	met         = "met"
	notMet      = "not met"
	notMeasured = "not measured"
)

// A promise is what was promised beside what was measured.
type promise struct{ what, promised, measured, verdict string }

// promises returns all promises that the benchmarks can judge. In all runs of a scenario all messages must have arrived,
// and of the connections the most count; of everything else the median does.
func promises(r *result.Report) []promise {
	const (
		cost     = "CPU per delivered 1 KiB message, against an `http.Client` loop: "
		memory   = "a waiting message, beyond its own strings and payload: memory"
		hang     = "10 of 100 hosts hang: "
		goBad    = "10 of 100 hosts hang from the middle of the run: "
		apart    = "10 of one host's 100 endpoints hang: "
		failing  = "10 of one host's 100 endpoints answer 500: "
		arriving = "healthy messages that arrive"
		late     = "p99 of healthy messages, beside the same run with nothing bad"
		limit    = "a rate limit over 1,000 hosts: "

		durably      = "queue in a file: durable messages/s from 64 callers, against one transaction per message"
		receive      = "queue in a file: CPU to receive a message, with a million waiting that are "
		waitHang     = "queue in a file, 100,000 messages wait for a host that hangs: "
		waitRefuse   = "queue in a file, 100,000 messages wait for a host that refuses: "
		arrivingLive = "messages to live hosts that arrive"
		lateLive     = "p99 of messages to live hosts, beside the same run with nothing waiting"
	)
	return []promise{
		cheaper(r, cost+"1 host", 1),
		cheaper(r, cost+"100 hosts", 100),
		atMost("`Send` of a 1 KiB `[]byte`: time", sendAtMost, timeOf(r, sendBytes), nanoseconds),
		atMost("`Send` of a 1 KiB `[]byte`: allocations", sendAllocsAtMost, medianOf(r, sendBytes, "allocs/op"), significant),
		atMost(memory, waitingAtMost, medianOf(r, waitingTogether, "B/message"), size),
		atMost(memory+", when each has an endpoint of its own", waitingApartAtMost, medianOf(r, waitingApart, "B/message"), size),
		noGoroutines(r, "waiting messages: goroutines"),
		turns(r, "an operation of the schedule with a million hosts and messages, beside a thousand"),
		allArrive(alone(r, hung), hang+arriving),
		delayed(alone(r, hung), alone(r, "none"), hang+late),
		connections(r, hang+"connections open to them at any time", hung),
		allArrive(alone(r, halfway), goBad+arriving),
		delayed(alone(r, halfway), alone(r, "none"), goBad+late),
		allArrive(alone(r, "endpoints hung"), apart+arriving),
		delayed(alone(r, "endpoints hung"), alone(r, "endpoints"), apart+late),
		allArrive(alone(r, "endpoints failing"), failing+arriving),
		delayed(alone(r, "endpoints failing"), alone(r, "endpoints"), failing+late),
		limitKept(r, limit+"the host furthest from it", func(l result.Limit) float64 {
			return max(math.Abs(float64(l.Min)-l.Allowed), math.Abs(float64(l.Max)-l.Allowed))
		}),
		limitKept(r, limit+"the median host", func(l result.Limit) float64 { return math.Abs(l.Median - l.Allowed) }),
		moreDurable(r, durably, 64, 0),
		moreDurable(r, durably+"; on a simulated disk whose fsync takes 2 ms longer", 64, slowerDisk),
		flat(r, receive+"due, beside a thousand", false, 0),
		flat(r, receive+"not due, beside a thousand that are", false, 1),
		flat(r, receive+"due, beside a thousand; and settled", true, 0),
		flat(r, receive+"not due, beside a thousand that are; and settled", true, 1),
		allArrive(backlogs(r, result.BacklogHangs), waitHang+arrivingLive),
		delayed(backlogs(r, result.BacklogHangs), backlogs(r, result.NoBacklog), waitHang+lateLive),
		allArrive(backlogs(r, result.BacklogRefuses), waitRefuse+arrivingLive),
		delayed(backlogs(r, result.BacklogRefuses), backlogs(r, result.NoBacklog), waitRefuse+lateLive),
	}
}

// verdict says whether a promise that was measured is kept.
func verdict(kept bool) string {
	if kept {
		return met
	}
	return notMet
}

// atMost is a promise that a figure stays within a bound. The figure is negative if it was not measured.
func atMost(what string, bound, measured float64, show func(float64) string) promise {
	p := promise{what: what, promised: "≤ " + show(bound), measured: "–", verdict: notMeasured}
	if measured >= 0 {
		p.measured, p.verdict = show(measured), verdict(measured <= bound)
	}
	return p
}

// unknown is a figure that was not measured.
const unknown = -1

// medianOf returns the median of a benchmark in a unit.
func medianOf(r *result.Report, name, unit string) float64 {
	for _, b := range r.Benchmarks {
		if median, ok := b.Median(unit); ok && b.Name == name {
			return median
		}
	}
	return unknown
}

// timeOf returns the median time of a benchmark in nanoseconds. Package testing prints ns/op, and tools that read
// what it prints convert that to sec/op.
func timeOf(r *result.Report, name string) float64 {
	if seconds := medianOf(r, name, "sec/op"); seconds >= 0 {
		return seconds * 1e9
	}
	return medianOf(r, name, "ns/op")
}

func cheaper(r *result.Report, what string, hosts int) promise {
	measured := float64(unknown)
	if ratios := headline(hosts).ratios(r); len(ratios) > 0 {
		measured = result.Median(ratios)
	}
	return atMost(what, costAtMost, measured, times)
}

func noGoroutines(r *result.Report, what string) promise {
	p := atMost(what, goroutinesAtMost,
		max(medianOf(r, waitingTogether, "goroutines"), medianOf(r, waitingApart, "goroutines")), significant)
	p.promised = fmt.Sprintf("none a message (≤ %d in all)", goroutinesAtMost)
	return p
}

func turns(r *result.Report, what string) promise {
	few, many := timeOf(r, turnOfAThousand), timeOf(r, turnOfAMillion)
	p := atMost(what, turnAtMost, quotient(many, few), times)
	if p.verdict != notMeasured {
		p.measured += fmt.Sprintf(" (%s beside %s)", nanoseconds(many), nanoseconds(few))
	}
	return p
}

// quotient returns a by b, and unknown if one of them is, or nothing can be a multiple of b.
func quotient(a, b float64) float64 {
	if a < 0 || b <= 0 || math.IsInf(b, 1) {
		return unknown
	}
	return a / b
}

func allArrive(runs []result.Isolation, what string) promise {
	p := promise{what: what, promised: "all", measured: "–", verdict: notMeasured}
	var n, all int
	for _, run := range runs {
		n += run.Arrived
		all += run.Healthy
	}
	if all > 0 {
		p.measured, p.verdict = arrived(n, all), verdict(n == all)
	}
	return p
}

func delayed(runs, base []result.Isolation, what string) promise {
	bad, good := p99(runs), p99(base)
	p := atMost(what, delayedAtMost, quotient(bad, good), times)
	switch {
	case p.verdict != notMeasured && math.IsInf(bad, 1):
		p.measured = "nothing arrived in most runs"
	case p.verdict != notMeasured:
		p.measured += fmt.Sprintf(" (%s beside %s)", nanoseconds(bad), nanoseconds(good))
	}
	return p
}

// p99 returns the median of the runs' p99 in nanoseconds. A run in which nothing arrived took for ever: its p99 of
// zero would be the best of all.
func p99(runs []result.Isolation) float64 {
	if len(runs) == 0 {
		return unknown
	}
	return result.Median(each(runs, func(i result.Isolation) float64 {
		if i.Arrived == 0 {
			return math.Inf(1)
		}
		return float64(i.P99)
	}))
}

func connections(r *result.Report, what, scenario string) promise {
	most := float64(unknown)
	for _, run := range alone(r, scenario) {
		most = max(most, float64(run.Connections))
	}
	return atMost(what, connectionsAtMost, most, significant)
}

// limitKept judges how far from what its limit allows a host was.
func limitKept(r *result.Report, what string, missed func(result.Limit) float64) promise {
	measured := float64(unknown)
	i := slices.IndexFunc(r.Limits, func(l result.Limit) bool { return l.Hosts == limitedHosts && l.Allowed > 0 })
	if i >= 0 {
		measured = missed(r.Limits[i]) / r.Limits[i].Allowed
	}
	p := atMost(what, limitMissedAtMost, measured, func(part float64) string { return significant(100*part) + " %" })
	p.promised = "within " + significant(100*limitMissedAtMost) + " %"
	return p
}
