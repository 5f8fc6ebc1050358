// Package limits measures what hosts receive under a rate limit when they are offered more.
package limits

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/isolation"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

// The limit at every host.
const (
	rate  = 10.0 // a second
	burst = 10
)

const (
	size    = 200 // bytes of a payload
	timeout = 5 * time.Second
	warning = 300 * time.Millisecond
	grace   = time.Second
)

// allowed is what a host may receive in a span.
func allowed(span time.Duration) float64 { return burst + rate*span.Seconds() }

// EveryHost measures what each of so many hosts receives in the span that begins with its first message, when more
// waits for every one of them.
func EveryHost(ctx context.Context, hosts int, span time.Duration) (result.Limit, error) {
	each := int(1.5 * allowed(span))
	l := result.Limit{
		About: fmt.Sprintf("%d messages wait for each of %d hosts from the start on.", each, hosts),
		Hosts: hosts, Rate: rate, Burst: burst, Offered: float64(each) / span.Seconds(), Duration: span, Allowed: allowed(span),
	}
	messages := hosts * each
	t, err := trial.Open(ctx,
		receiver.Config{Messages: messages, Hosts: make([]receiver.Host, hosts)},
		client.Config{Sender: result.Signpost, Senders: config(256, 8*messages), Payload: size})
	if err != nil {
		return l, fmt.Errorf("limits: %w", err)
	}
	defer t.Close()
	load := client.Load{Count: messages, Start: clock.Now().Add(warning)}
	load.End = load.Start.Add(span + 2*grace) // the first message of a host may come late
	_, report, err := offer(ctx, t, load)
	if err != nil {
		return l, err
	}
	byHost := make([][]clock.Time, hosts)
	for message, at := range report.Arrivals {
		if at != 0 {
			byHost[message%hosts] = append(byHost[message%hosts], at)
		}
	}
	received := make([]float64, hosts)
	for i, arrivals := range byHost {
		received[i] = float64(within(arrivals, span))
	}
	l.Min, l.Max, l.Median = int(slices.Min(received)), int(slices.Max(received)), result.Median(received)
	return l, nil
}

// within counts the arrivals in the span that begins with the first.
func within(arrivals []clock.Time, span time.Duration) int {
	slices.Sort(arrivals)
	n := 0
	for _, at := range arrivals {
		if at.Sub(arrivals[0]) <= span {
			n++
		}
	}
	return n
}

// Flood measures what one host receives that is offered 5,000 messages a second, and how the messages to 99 others
// fare that are offered 5 a second each.
func Flood(ctx context.Context, span time.Duration) (result.Limit, error) {
	const (
		others  = 99
		flood   = 5000
		trickle = 5
		total   = flood + others*trickle
	)
	l := result.Limit{
		About: fmt.Sprintf("One host is offered %d messages a second, beside %d hosts that are offered %d each, with 64 workers.", flood, others, trickle),
		Hosts: 1, Rate: rate, Burst: burst, Offered: flood, Duration: span, Allowed: allowed(span),
	}
	order := mix(flood/trickle, others)
	messages := int(total * span.Seconds())
	t, err := trial.Open(ctx,
		receiver.Config{Messages: messages, Hosts: make([]receiver.Host, 1+others)},
		client.Config{Sender: result.Signpost, Senders: config(64, 10_000), Payload: size, Order: order})
	if err != nil {
		return l, fmt.Errorf("limits: %w", err)
	}
	defer t.Close()
	load := client.Load{Count: messages, Start: clock.Now().Add(warning), Interval: time.Second / total}
	load.End = load.Time(messages - 1).Add(grace)
	loaded, report, err := offer(ctx, t, load)
	if err != nil {
		return l, err
	}
	target := func(message int) int { return order[message%len(order)] }
	var arrivals []clock.Time
	for message, at := range report.Arrivals {
		if at != 0 && target(message) == 0 {
			arrivals = append(arrivals, at)
		}
	}
	l.Min = within(arrivals, span)
	l.Max, l.Median = l.Min, float64(l.Min)
	l.Beside = isolation.Judge(load, loaded, report, func(message int) bool { return target(message) != 0 })
	l.Beside.Sender = result.Signpost
	return l, nil
}

// mix spreads one message to each of the targets 1 to others evenly among flood messages to target 0.
func mix(flood, others int) []int {
	order := make([]int, 0, flood+others)
	next := 1
	for i := range flood {
		order = append(order, 0)
		if next <= others && (i+1)*others >= next*flood {
			order = append(order, next)
			next++
		}
	}
	return order
}

func config(workers, queue int) senders.Config {
	return senders.Config{Workers: workers, Buffer: queue, Timeout: timeout, Wait: time.Second, Rate: rate, Burst: burst}
}

func offer(ctx context.Context, t *trial.Trial, load client.Load) (client.Loaded, receiver.Report, error) {
	loaded, _, err := t.Offer(ctx, load)
	if err != nil {
		return loaded, receiver.Report{}, fmt.Errorf("limits: %w", err)
	}
	report, err := t.Report(ctx)
	if err != nil {
		return loaded, report, fmt.Errorf("limits: %w", err)
	}
	return loaded, report, nil
}
