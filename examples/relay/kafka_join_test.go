package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost/internal/broker"
)

// A second relay joins while the first one has a backlog in its hands. Of what moves, only the attempts that the first one is
// making come twice. So that this doesn't depend on the machine, the receiver keeps all requests waiting until the second relay
// makes attempts, too: nearly the whole backlog is in the first one's hands when partitions move.
func secondRelayOfKafka(t *testing.T, b *broker.Server) {
	const hosts, each, workers = 30, 100, 30
	const limit, burst, atOnce = 10, 3, 3 // a second; for each host
	r := newReceiver(t, hosts)
	r.shut()
	environ := []string{
		"SIGNPOST_QUEUE=kafka://" + b.Address(), "SIGNPOST_PREFIX=joined", "SIGNPOST_TIMEOUT=5m",
		fmt.Sprint("SIGNPOST_WORKERS=", workers), fmt.Sprint("SIGNPOST_HOST_CONCURRENCY=", atOnce),
		fmt.Sprintf("SIGNPOST_RATE_LIMIT=%d/s", limit), fmt.Sprint("SIGNPOST_RATE_BURST=", burst),
	}
	first := relay(t, environ...)
	first.awaitReady()
	p := newKafkaProducer(t, b.Address(), "joined")
	for range each {
		for host := range hosts {
			p.send(r.url(host))
		}
	}
	p.flush()
	eventually(t, func() bool {
		s := first.stats().Dispatcher
		return s.Queued+s.InFlight == hosts*each
	}, "the first relay has the backlog in its hands")

	second := relay(t, environ...)
	eventually(t, func() bool { return p.dealt("joined", 2) }, "each has a part of the topics")
	eventually(t, func() bool { return second.stats().Dispatcher.InFlight > 0 }, "the second one makes attempts")
	r.open()
	allArrive(t, r, p.count)
	for _, p := range []*process{first, second} {
		eventually(t, func() bool { s := p.stats().Dispatcher; return s.Queued+s.InFlight == 0 }, "it has nothing left to do")
	}
	first.stop()
	second.stop()

	// What was in flight in one relay comes a second time, from the other. Twice as many are allowed: on a machine that stood
	// still for longer than the group waits, partitions move back.
	twice := r.times() - r.distinct()
	assert.LessOrEqual(t, twice, 2*workers, "only what was in flight comes twice")
	// One relay makes what the limit allows in five seconds, the burst, and what was allowed before and begins late; the
	// other one no more than it has in flight, and what it began with.
	most, fleet := 0, []*process{first, second}
	for host := range hosts {
		most = max(most, busiest(attempts(t, fleet, r, host), time.Time{}))
	}
	assert.LessOrEqual(t, most, 5*limit+2*(burst+atOnce), "in any five seconds, at any host")
	t.Logf("%d of %d requests came twice, at most %d went to a host in 5 s; the relays delivered %d and %d",
		twice, r.times(), most, len(first.records("relay: delivered")), len(second.records("relay: delivered")))
}
