package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
)

const several = 3 // instances that are compared with one

// passed tells whether anything was measured of a queue.
func passed(b *result.Brokers) bool {
	return slices.ContainsFunc(b.Passages, func(p result.Passage) bool { return len(p.Runs) > 0 || len(p.Lags) > 0 })
}

func brokers(d *document, r *result.Report) {
	b := &r.Brokers
	if !passed(b) && len(b.Missing) == 0 {
		return
	}
	d.heading(2, "Through each queue")
	if passed(b) {
		brokersIntroduction(d, r)
		brokersTable(d, b)
		if findings := slices.Concat(scaling(b), besideAsynq(b), besideMemory(b), lateness(b), duplicates(b)); len(findings) > 0 {
			d.list(findings)
		}
	}
	for _, m := range missing(b) {
		d.paragraph(m)
	}
}

func brokersIntroduction(d *document, r *result.Report) {
	b := &r.Brokers
	d.paragraph(fmt.Sprintf("Messages of 1 KiB for %s, from the first Send until the last one is delivered and settled. "+
		"One process sends, by %s of Send, as fast as it goes; one or several others, the instances, each with %s, "+
		"receive from the queue, sign, POST over plain HTTP and settle. "+
		"A queue in memory or in a file belongs to one process, which sends and delivers. There is no rate limit. "+
		"CPU time is that of the process that sends and of the instances; the server's is that of all its processes. "+
		"Latency was measured in runs of their own, with %s messages/s: from when a message was to be sent to its arrival.",
		plural(b.Hosts, "host"), plural(b.Senders, "caller"), plural(b.Workers, "worker"), count(b.Rate)))
	var versions []string
	for _, v := range b.Servers {
		versions = append(versions, v.Name+" "+v.Version)
	}
	share := "The servers and the receivers share the machine with all that"
	if len(versions) > 0 {
		share = "The servers (" + strings.Join(versions, ", ") + ") and the receivers share the machine with all that"
	}
	if r.Machine.Cores > 0 {
		share += ", which has " + plural(r.Machine.Cores, "core") + ": more instances can only help as far as one leaves some of it idle"
	}
	d.paragraph(share + ".")
	d.list([]string{
		"RabbitMQ confirms what its quorum queues have synced to the disk. It is one node, which has the clients' connections over TCP.",
		"Kafka acknowledges (acks=all) what is in the page cache, which is its default: a killed server loses nothing, " +
			"one without power may; a cluster has replicas instead. It is one node, as tests start it: " +
			"Java has a heap of 512 MiB and only its first compiler.",
		"asynq's Redis appends to a log (appendonly yes) and syncs it before it answers (appendfsync always), " +
			"so that a message is as durable as with SQLite and RabbitMQ; or every second, so that a power cut takes what came in it. " +
			"It is reached by a Unix socket. Each task signs and POSTs with an http.Client. " +
			"asynq looks for tasks every 10 ms when it has found none.",
	})
}

func brokersTable(d *document, b *result.Brokers) {
	var rows [][]string
	for _, p := range b.Passages {
		if len(p.Runs) == 0 && len(p.Lags) == 0 {
			continue
		}
		server := "–"
		if slices.ContainsFunc(p.Runs, func(p result.Passed) bool { return p.Server > 0 }) {
			server = spread(each(p.Runs, result.Passed.ServerPer), nanoseconds)
		}
		rows = append(rows, []string{
			p.Queue, count(p.Instances),
			spread(each(p.Runs, result.Passed.Rate), significant), spread(each(p.Runs, result.Passed.CPUPer), nanoseconds), server,
			spread(each(p.Lags, lagP50), nanoseconds), spread(each(p.Lags, lagP99), nanoseconds),
		})
	}
	d.table("lrrrrrr", []string{"queue", "instances", "messages/s", "CPU per message", "the server's", "p50", "p99"}, rows)
}

func lagP50(l result.Lag) time.Duration { return l.P50 }
func lagP99(l result.Lag) time.Duration { return l.P99 }

// shared are the queues that several processes share and that were measured, in the order of the tables.
func shared(b *result.Brokers) (names []string) {
	for _, p := range b.Passages {
		if p.Queue != result.InMemory && p.Queue != result.InFile && !slices.Contains(names, p.Queue) {
			names = append(names, p.Queue)
		}
	}
	return names
}

// pairs returns what get returns for a run divided by that for the run beside it; none if either was not measured.
func pairs(a, b *result.Passage, get func(result.Passed) float64) (quotients []float64) {
	if a == nil || b == nil {
		return nil
	}
	for i := range min(len(a.Runs), len(b.Runs)) {
		if base := get(b.Runs[i]); base > 0 {
			quotients = append(quotients, get(a.Runs[i])/base)
		}
	}
	return quotients
}

func allCPU(p result.Passed) float64 { return float64(p.CPUPer() + p.ServerPer()) }

// scaling says what more instances bring.
func scaling(b *result.Brokers) []string {
	var parts []string
	for _, name := range shared(b) {
		if q := pairs(b.Passage(name, several), b.Passage(name, 1), result.Passed.Rate); len(q) > 0 {
			parts = append(parts, fmt.Sprintf("%s through %s", times(result.Median(q)), name))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{capital(several) + " instances deliver this many times what one does: " + strings.Join(parts, ", ") + "."}
}

// besideAsynq compares each queue with asynq's that is as durable, with as many instances.
func besideAsynq(b *result.Brokers) (sentences []string) {
	for _, like := range []struct{ queue, asynq, durable string }{
		{result.RabbitMQ, result.AsynqAlways, "both of which sync a message before they answer"},
		{result.Kafka, result.AsynqEverySecond, "both of which answer before they sync a message"},
	} {
		var parts []string
		for _, instances := range []int{1, several} {
			p, asynq := b.Passage(like.queue, instances), b.Passage(like.asynq, instances)
			rate, cpu := pairs(p, asynq, result.Passed.Rate), pairs(p, asynq, allCPU)
			if len(rate) > 0 && len(cpu) > 0 {
				parts = append(parts, fmt.Sprintf("%s as many messages for %s of the CPU time with %s",
					times(result.Median(rate)), times(result.Median(cpu)), plural(instances, "instance")))
			}
		}
		if len(parts) > 0 {
			sentences = append(sentences, fmt.Sprintf("signpost with %s beside %s, %s, delivers %s; the servers' CPU time is included.",
				like.queue, like.asynq, like.durable, strings.Join(parts, " and ")))
		}
	}
	return sentences
}

// besideMemory says what it costs that a message is on a disk, or on its way through a broker.
func besideMemory(b *result.Brokers) []string {
	memory := b.Passage(result.InMemory, 1)
	var parts []string
	for _, p := range b.Passages {
		if q := pairs(&p, memory, allCPU); p.Instances == 1 && p.Queue != result.InMemory && len(q) > 0 {
			parts = append(parts, fmt.Sprintf("%s with %s", times(result.Median(q)), p.Queue))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{"CPU time for each message, the server's included, against a queue in memory: " + strings.Join(parts, ", ") + "."}
}

// lateness says which queue makes the median message wait least and most.
func lateness(b *result.Brokers) []string {
	type late struct {
		queue    string
		p50, p99 float64
	}
	var all []late
	for _, p := range b.Passages {
		if p.Instances == 1 && len(p.Lags) > 0 {
			all = append(all, late{p.Queue, result.Median(each(p.Lags, lagP50)), result.Median(each(p.Lags, lagP99))})
		}
	}
	if len(all) < 2 {
		return nil
	}
	slices.SortStableFunc(all, func(a, b late) int { return cmp.Compare(a.p50, b.p50) })
	var parts []string
	for _, l := range all {
		parts = append(parts, fmt.Sprintf("%s %s (p99 %s)", l.queue, nanoseconds(l.p50), nanoseconds(l.p99)))
	}
	return []string{fmt.Sprintf("At %s messages/s and with 1 instance, half of the messages have arrived after: %s.",
		count(b.Rate), strings.Join(parts, ", "))}
}

func duplicates(b *result.Brokers) []string {
	var messages, more int
	for _, p := range b.Passages {
		for _, run := range p.Runs {
			messages += run.Messages
			more += run.Duplicates
		}
	}
	if messages == 0 {
		return nil
	}
	came := "and none came twice"
	if more > 0 {
		came = "beside " + plural(more, "request") + " that brought one again"
	}
	return []string{fmt.Sprintf("All of the %s messages that were counted arrived, %s.", count(messages), came)}
}

// missing says what was not measured, and why.
func missing(b *result.Brokers) (sentences []string) {
	for _, m := range b.Missing {
		sentences = append(sentences, fmt.Sprintf("%s was not measured: %s.", m.Queue, strings.TrimSuffix(m.Why, ".")))
	}
	return sentences
}

// capital writes a small number as a sentence begins with it.
func capital(n int) string {
	if words := []string{"None", "One", "Two", "Three", "Four"}; n < len(words) {
		return words[n]
	}
	return count(n)
}

// queueFigures is what README shows of the queues; empty if nothing was measured.
func queueFigures(r *result.Report) string {
	b := &r.Brokers
	if !passed(b) {
		return ""
	}
	d := &document{}
	d.WriteByte('\n')
	var rows [][]string
	var names []string
	for _, p := range b.Passages {
		if slices.Contains(names, p.Queue) {
			continue
		}
		names = append(names, p.Queue)
		rates := []string{"–", "–"}
		late, cost := "–", "–"
		for i, n := range []int{1, several} {
			if p := b.Passage(p.Queue, n); p != nil && len(p.Runs) > 0 {
				rates[i] = significant(result.Median(each(p.Runs, result.Passed.Rate)))
			}
		}
		if one := b.Passage(p.Queue, 1); one != nil {
			if len(one.Runs) > 0 {
				cost = nanoseconds(result.Median(each(one.Runs, allCPU)))
			}
			if len(one.Lags) > 0 {
				late = nanoseconds(result.Median(each(one.Lags, lagP50))) + ", " + nanoseconds(result.Median(each(one.Lags, lagP99)))
			}
		}
		rows = append(rows, []string{p.Queue, rates[0], rates[1], cost, late})
	}
	d.table("lrrrr", []string{
		"queue", "messages/s, 1 instance", "messages/s, " + plural(several, "instance"),
		"CPU per message, with the server's", "latency p50, p99",
	}, rows)
	return d.String()
}
