package kafka

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	lookAgain    = 20 * time.Millisecond  // for topics that were created, at first
	openAgain    = 250 * time.Millisecond // how long Open waits before it tries again, at first
	maxOpenAgain = 5 * time.Second
)

// Open opens the queue at a Kafka cluster; brokers are the addresses of some of its brokers, host and port each. It creates
// the topics that aren't there, and returns [ErrTopology], which says what differs, if one is there that isn't fit. While no
// broker answers it tries again until ctx is done, which bounds Open alone. What somebody must change first, such as
// credentials that are refused, it returns at once.
//
// A Queue that only enqueues has nothing to do with the consumer group: it is joined by the first Receive.
func Open(ctx context.Context, brokers []string, opts ...Option) (*Queue, error) {
	config, err := newConfig(brokers, opts)
	if err != nil {
		return nil, err
	}
	q := newQueue(config, brokers)
	if q.producer, err = kgo.NewClient(q.clientOptions(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(&partitioner{ready: config.ready(), partitions: &q.partitions}),
		kgo.ProducerBatchMaxBytesFn(config.maxBatch),
		kgo.ProducerLinger(0),
	)...); err != nil {
		return nil, fmt.Errorf("kafka: Open: %w", err)
	}
	q.admin = kadm.NewClient(q.producer)
	if err := q.declare(ctx); err != nil {
		q.producer.Close()
		return nil, explain("open", err)
	}
	q.start()
	return q, nil
}

func newQueue(c *config, brokers []string) *Queue {
	ctx, cancel := context.WithCancel(context.Background())
	return &Queue{
		config: c, brokers: brokers, instance: rand.Text(), ctx: ctx, cancel: cancel,
		changed: make(chan struct{}), room: make(chan struct{}, enqueuing),
		kick: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		parts: map[place]*partition{}, suspended: map[place]*partition{},
		shelf: newShelf(c.prefetch), outage: &outage{logger: c.logger}, hash: homes{newHash()},
	}
}

// clientOptions are what every client has.
func (q *Queue) clientOptions(more ...kgo.Opt) []kgo.Opt {
	opts := append([]kgo.Opt{kgo.ClientID("signpost"), kgo.DisableClientMetrics(),
		kgo.MetadataMaxAge(time.Minute), kgo.MetadataMinAge(250 * time.Millisecond)}, q.config.client...)
	opts = append(opts, kgo.SeedBrokers(q.brokers...), kgo.WithHooks(q.outage))
	return append(opts, more...)
}

func (q *Queue) declare(ctx context.Context) error {
	wait := lookAgain
	for {
		cluster, partitions, err := q.config.declare(ctx, q.producer, q.admin)
		switch {
		case err == nil:
			q.cluster = cluster
			q.partitions.Store(int32(partitions))
			return nil
		case isFinal(err):
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
		if !errors.Is(err, errCreated) {
			q.outage.note(err)
			wait = max(wait, openAgain)
		}
		if !sleep(ctx, wait/2+mathrand.N(wait)) {
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
		wait = min(2*wait, maxOpenAgain)
	}
}

// sleep waits, and reports false if ctx was done before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
