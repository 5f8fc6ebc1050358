// Package reconnects measures what deliveries cost that come so seldom that no connection lasts from one to the next: each
// begins with a TLS handshake, which a session cache can shorten.
package reconnects

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

const (
	workers = 64
	size    = 1024 // bytes of a payload
	visits  = 2    // to each host that are counted, after the first
	timeout = 10 * time.Second
)

// Run measures signpost with its session cache and without, in pairs of runs that are made one after the other. Each
// host is visited once before it counts, so that there is a session to resume.
func Run(ctx context.Context, hosts, pairs int) ([]result.Reconnect, error) {
	measured := []result.Reconnect{{SessionCache: true, Hosts: hosts}, {SessionCache: false, Hosts: hosts}}
	for pair := range pairs {
		for i := range measured {
			m := &measured[(i+pair)%len(measured)]
			used, report, err := visit(ctx, hosts, m.SessionCache)
			if err != nil {
				return nil, fmt.Errorf("reconnects: %w", err)
			}
			m.Runs = append(m.Runs, used.Per(visits*hosts))
			m.Resumed += float64(report.Resumed) / float64(report.Connections) / float64(pairs)
		}
	}
	return measured, nil
}

// visit measures in new processes.
func visit(ctx context.Context, hosts int, sessions bool) (client.Usage, receiver.Report, error) {
	t, err := trial.Open(ctx,
		receiver.Config{Messages: (1 + visits) * hosts, Hosts: make([]receiver.Host, hosts), TLS: true, Once: true},
		client.Config{
			Sender: result.Signpost,
			Senders: senders.Config{
				Workers: workers, Buffer: 10 * hosts, Timeout: timeout, Wait: time.Second, Backpressure: true, NoSessions: !sessions,
			},
			Payload: size,
		})
	if err != nil {
		return client.Usage{}, receiver.Report{}, err
	}
	defer t.Close()
	if _, err := t.Deliver(ctx, 0, hosts); err != nil {
		return client.Usage{}, receiver.Report{}, err
	}
	used, err := t.Deliver(ctx, hosts, visits*hosts)
	if err != nil {
		return used, receiver.Report{}, err
	}
	report, err := t.Report(ctx)
	return used, report, err
}
