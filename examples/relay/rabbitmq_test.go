package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/internal/broker"
)

// A producer is what any service does that has an AMQP library.
type producer struct {
	t       *testing.T
	channel *amqp.Channel
	queue   string

	mu       sync.Mutex // protects the following fields
	sent     int
	confirms []*amqp.DeferredConfirmation
}

func newProducer(t *testing.T, url, prefix string) *producer {
	t.Helper()
	conn, err := amqp.Dial(url)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	channel, err := conn.Channel()
	require.NoError(t, err)
	require.NoError(t, channel.Confirm(false))
	return &producer{t: t, channel: channel, queue: prefix + ".ready"}
}

// send hands a message to the broker; flush waits until it has all.
func (p *producer) send(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	confirm, err := p.channel.PublishWithDeferredConfirm("", p.queue, true, false, amqp.Publishing{
		Headers:      amqp.Table{"url": url, "id": fmt.Sprintf("order-%d", p.sent)},
		DeliveryMode: amqp.Persistent,
		Body:         fmt.Appendf(nil, `{"order": %d}`, p.sent),
	})
	assert.NoError(p.t, err)
	p.confirms = append(p.confirms, confirm)
}

func (p *producer) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.confirms {
		assert.True(p.t, c.Wait())
	}
	p.confirms = nil
}

func (p *producer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	b := startBroker(t, broker.StartRabbitMQ)
	t.Run("three relays", func(t *testing.T) { threeRelays(t, b) })
	t.Run("a rollout", func(t *testing.T) { rollout(t, b) })
	t.Run("a wrong password", func(t *testing.T) { wrongPassword(t, b) })
	t.Run("a broker that isn't there", func(t *testing.T) {
		absentBroker(t, b, b.Address(), func(to string) {
			p := newProducer(t, b.Address(), "absent")
			p.send(to)
			p.flush()
		})
	})
}

// Three relays keep a host's limit together, and two of them when one is killed; to many hosts all three deliver.
func threeRelays(t *testing.T, b *broker.Server) {
	const others, each = 20, 100
	seconds := 8
	if long() {
		seconds = 60
	}
	r := newReceiver(t, 1+others)
	fleet := launchFleet(t, 3, "SIGNPOST_QUEUE="+b.Address(), "SIGNPOST_PREFIX=fleet")
	for _, p := range fleet {
		eventually(t, func() bool { return p.stats().Relays == 3 }, "each knows that they are three")
	}
	settled := time.Now()

	p := newProducer(t, b.Address(), "fleet")
	stopFeeding := sync.OnceFunc(feed(p.send, r, 0, 4*limitedTo))
	defer stopFeeding()
	for range each {
		for host := range others {
			p.send(r.url(1 + host))
		}
	}
	p.flush()
	eventually(t, func() bool { return r.times()-r.at(0) >= others*each }, "the other hosts have got everything")
	await(t, r, 0, seconds*limitedTo)

	fleet[2].kill()
	killed := time.Now()
	for _, p := range fleet[:2] {
		eventually(t, func() bool { return p.stats().Relays == 2 }, "each knows that they are two")
	}
	// Without the share of the one that is gone there would be 2 × 50/3 × 5 s, and not many more.
	alone := time.Now()
	require.Eventually(t, func() bool { return busiest(attempts(t, fleet, r, 0), alone) >= 200 }, patience, 250*time.Millisecond,
		"its share passes to the others")
	await(t, r, 0, r.at(0)+(seconds-7)*limitedTo)
	stopFeeding()
	p.flush()
	allArrive(t, r, p.count)
	fleet[0].stop()
	fleet[1].stop()

	limited := attempts(t, fleet, r, 0)
	most := busiest(limited, settled)
	assert.LessOrEqual(t, most, overFive, "in any five seconds")
	var free []attempt
	for host := range others {
		free = append(free, attempts(t, fleet, r, 1+host)...)
	}
	share, first, last := parts(free, fleet)
	for i, n := range share {
		assert.Greater(t, n, len(free)*15/100, "relay %d has a fair part in what goes to the other hosts: %v", i, share)
	}
	meanwhile := between(limited, first, last)
	assert.Greater(t, len(free), 4*meanwhile, "so much more goes to all other hosts in sum than to the limited one meanwhile")
	share, _, _ = parts(limited, fleet)
	t.Logf("limited host: %d attempts by relays %v, at most %d in 5 s, %d since one was killed; other hosts: %d in %v, %d at the limited one meanwhile",
		len(limited), share, most, busiest(limited, killed), len(free), last.Sub(first), meanwhile)
}

// One relay replaces another in the middle of the work. Nothing is lost, and nothing comes twice: there is time enough to finish.
func rollout(t *testing.T, b *broker.Server) {
	const hosts, each = 10, 40
	r := newReceiver(t, hosts)
	environ := append(limits, "SIGNPOST_QUEUE="+b.Address(), "SIGNPOST_PREFIX=rollout", "SIGNPOST_DRAIN=5m")
	old := relay(t, environ...)
	old.awaitReady()
	p := newProducer(t, b.Address(), "rollout")
	for range each {
		for host := range hosts {
			p.send(r.url(host))
		}
	}
	p.flush()
	next := relay(t, environ...)
	next.awaitReady()
	eventually(t, func() bool { return r.times() > hosts*each/10 }, "the old one is at work")
	old.stop()
	p.send(r.url(0))
	p.flush()
	allArrive(t, r, p.count)
	eventually(t, func() bool { return next.stats().Relays == 1 }, "the old one counts no more")
	next.stop()
	assert.Equal(t, p.count(), r.times(), "nothing comes twice")
	t.Logf("the old one delivered %d, the new one %d", len(old.records("relay: delivered")), len(next.records("relay: delivered")))
}

// What waiting doesn't mend ends the relay at once, and what is wrong doesn't tell the password.
func wrongPassword(t *testing.T, b *broker.Server) {
	p := launch(t, "SIGNPOST_QUEUE="+strings.Replace(b.Address(), "guest:guest@", "guest:hunter2@", 1))
	assert.Equal(t, 1, p.wait().ExitCode())
	assert.Contains(t, p.text(), "relay: rabbitmq:")
	assert.NotContains(t, p.text(), "hunter2")
}
