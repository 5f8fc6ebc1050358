package main

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost/internal/broker"
)

// A kafkaProducer is what any service does that has a Kafka library: the client's own partitioner is the Java client's.
type kafkaProducer struct {
	t      *testing.T
	client *kgo.Client
	topic  string

	mu   sync.Mutex // protects the following field
	sent int
}

func newKafkaProducer(t *testing.T, address, prefix string) *kafkaProducer {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &kafkaProducer{t: t, client: client, topic: prefix + ".ready"}
}

// send hands a message to the client; flush waits until the broker has all.
func (p *kafkaProducer) send(to string) {
	u, err := url.Parse(to)
	assert.NoError(p.t, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	p.client.Produce(ctx, &kgo.Record{
		Topic: p.topic, Key: []byte(u.Host), Value: fmt.Appendf(nil, `{"order": %d}`, p.sent),
		Headers: []kgo.RecordHeader{{Key: "url", Value: []byte(to)}, {Key: "id", Value: fmt.Appendf(nil, "order-%d", p.sent)}},
	}, func(_ *kgo.Record, err error) { assert.NoError(p.t, err) })
}

func (p *kafkaProducer) flush() { assert.NoError(p.t, p.client.Flush(ctx)) }

func (p *kafkaProducer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// dealt reports whether the group is at rest and each of n members has partitions.
func (p *kafkaProducer) dealt(group string, n int) bool {
	limit, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	groups, err := kadm.NewClient(p.client).DescribeGroups(limit, group)
	if err != nil || groups[group].State != "Stable" || len(groups[group].Members) != n {
		return false
	}
	for _, m := range groups[group].Members {
		if assigned, ok := m.Assigned.AsConsumer(); !ok || len(assigned.Topics) == 0 {
			return false
		}
	}
	return true
}

func TestKafka(t *testing.T) {
	t.Parallel()
	b := startBroker(t, broker.StartKafka)
	t.Run("three relays", func(t *testing.T) { threeRelaysOfKafka(t, b) })
	t.Run("a second relay joins", func(t *testing.T) { secondRelayOfKafka(t, b) })
	t.Run("a broker that isn't there", func(t *testing.T) {
		absentBroker(t, b, "kafka://"+b.Address(), func(to string) {
			p := newKafkaProducer(t, b.Address(), "absent")
			p.send(to)
			p.flush()
		})
	})
}

// Three relays share the hosts among them: each host is one relay's, which keeps the limit. When one is killed its hosts are
// taken over, each by one of the others.
func threeRelaysOfKafka(t *testing.T, b *broker.Server) {
	const hosts, each = 60, 10
	seconds := 7
	if long() {
		seconds = 60
	}
	r := newReceiver(t, 1+hosts)
	fleet := launchFleet(t, 3, "SIGNPOST_QUEUE=kafka://"+b.Address(), "SIGNPOST_PREFIX=fleet")
	p := newKafkaProducer(t, b.Address(), "fleet")
	eventually(t, func() bool { return p.dealt("fleet", 3) }, "each has a part of the topics")
	settled := time.Now()

	stopFeeding := sync.OnceFunc(feed(p.send, r, 0, 4*limitedTo))
	defer stopFeeding()
	for range each {
		for host := range hosts {
			p.send(r.url(1 + host))
		}
	}
	p.flush()
	eventually(t, func() bool { return r.times()-r.at(0) >= hosts*each }, "the other hosts have got everything")
	await(t, r, 0, seconds*limitedTo)
	owner := attempts(t, fleet, r, 0)[0].relay
	fleet[owner].kill() // the one that has the limited host

	for range each {
		for host := range hosts {
			p.send(r.url(1 + host))
		}
	}
	p.flush()
	await(t, r, 0, r.at(0)+2*limitedTo)
	stopFeeding()
	p.flush()
	allArrive(t, r, p.count)

	var free []attempt
	for host := range 1 + hosts {
		all := attempts(t, fleet, r, host)
		if host > 0 {
			free = append(free, all...)
		}
		assertOneAtATime(t, all, r.hosts[host], owner)
	}
	share, _, _ := parts(free, fleet)
	for i, n := range share {
		assert.Positive(t, n, "relay %d has some of the other hosts: %v", i, share)
	}
	limited := attempts(t, fleet, r, 0)
	most := busiest(limited, settled)
	assert.LessOrEqual(t, most, overFive, "in any five seconds")
	limitedShare, _, _ := parts(limited, fleet)
	t.Logf("limited host: %d attempts by relays %v, at most %d in 5 s; other hosts by relays %v; %d of %d came twice",
		len(limited), limitedShare, most, share, r.times()-r.distinct(), r.times())
	for i, p := range fleet {
		if i != owner {
			p.signal(syscall.SIGTERM)
		}
	}
	for i, p := range fleet {
		if i != owner {
			assert.Zero(t, p.wait().ExitCode())
		}
	}
}

// assertOneAtATime asserts that one relay has made all attempts, or first the one that was killed and then another one.
func assertOneAtATime(t *testing.T, all []attempt, host string, killed int) {
	t.Helper()
	var order []int
	for _, a := range all {
		if a.relay >= 0 && (len(order) == 0 || order[len(order)-1] != a.relay) {
			order = append(order, a.relay)
		}
	}
	if len(order) == 2 && order[0] == killed {
		return
	}
	assert.Len(t, order, 1, "host %s is spoken to by one relay: %v, relay %d was killed", host, order, killed)
}
