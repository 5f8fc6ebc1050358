package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/signpost-go/signpost"
)

const (
	sessionTimeout    = 10 * time.Second // after which others take over from an instance that has died
	heartbeatInterval = time.Second
	rebalanceTimeout  = 30 * time.Second
	revokeTime        = 5 * time.Second // for what is being settled when a partition is given up
	fetchWait         = 250 * time.Millisecond

	fetchBytes          = 16 << 20
	fetchPartitionBytes = 1 << 20
)

// join begins to consume, unless that has begun. It requires that mu is held.
func (q *Queue) join() error {
	if q.consumer != nil {
		return nil
	}
	consumer, err := kgo.NewClient(q.clientOptions(
		kgo.ConsumerGroup(q.config.prefix),
		kgo.ConsumeTopics(q.config.consumed()...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // so that what was polled belongs to what is assigned
		kgo.SessionTimeout(sessionTimeout), kgo.HeartbeatInterval(heartbeatInterval), kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.FetchMaxWait(fetchWait), kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { q.forgetSuspended(parts) }),
		kgo.OnOffsetsFetched(func(_ context.Context, _ *kgo.Client, r *kmsg.OffsetFetchResponse) error { return q.begin(r) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { q.giveUp(parts) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) { q.suspend(parts) }),
		kgo.AdjustFetchOffsetsFn(q.goOn),
	)...)
	if err != nil {
		return fmt.Errorf("kafka: join the group: %w", err)
	}
	q.consumer = consumer
	q.wg.Go(q.poll)
	q.wg.Go(q.commitAll)
	q.wg.Go(q.trimAll)
	return nil
}

// errTaken is why a lease is lost.
var errTaken = errors.New("its partition was taken away, and the message comes to another instance")

// begin takes over partitions that are assigned, with what was committed for them.
func (q *Queue) begin(r *kmsg.OffsetFetchResponse) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, g := range r.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				q.assign(place{t.Topic, p.Partition}, p.Offset, p.Metadata)
			}
		}
	}
	if len(r.Groups) == 0 { // a broker before 3.0
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				q.assign(place{t.Topic, p.Partition}, p.Offset, p.Metadata)
			}
		}
	}
	return nil
}

// assign requires that mu is held.
func (q *Queue) assign(at place, offset int64, metadata *string) {
	if old := q.parts[at]; old != nil {
		q.lose(old, errTaken)
	}
	var done spans
	if metadata != nil && offset >= 0 {
		var err error
		if done, err = decodeDone(offset, *metadata); err != nil {
			q.config.logger.Warn("kafka: a commit's metadata are not this queue's, what they say is finished comes again",
				"topic", at.topic, "partition", at.partition, "offset", offset, "err", err)
		}
	}
	if at.topic == q.config.ready() && q.partitions.Load() <= at.partition {
		q.partitions.Store(at.partition + 1)
	}
	if q.resumes(at, offset, done) {
		return
	}
	p := newPartition(at, q.config.step(at.topic))
	q.parts[at] = p
	if offset >= 0 {
		p.water.start(offset, done)
		p.committed = offset
	}
}

// giveUp is called when partitions must be given to others, before they are. What is being settled is committed first.
func (q *Queue) giveUp(parts map[string][]int32) {
	q.mu.Lock()
	leaving := q.those(parts)
	for _, p := range leaving {
		p.leaving = true
		p.checkDrained()
	}
	q.mu.Unlock()
	limit := time.NewTimer(revokeTime)
	defer limit.Stop()
wait:
	for _, p := range leaving {
		select {
		case <-p.drained:
		case <-q.ctx.Done():
			break wait
		case <-limit.C:
			break wait
		}
	}
	q.forget(leaving, errTaken)
}

// those requires that mu is held.
func (q *Queue) those(parts map[string][]int32) (all []*partition) {
	for topic, numbers := range parts {
		for _, n := range numbers {
			if p := q.parts[place{topic, n}]; p != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// assigned are all partitions.
func (q *Queue) assigned() []*partition {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Values(q.parts))
}

// forget drops partitions that belong to others now, and all of their messages.
func (q *Queue) forget(parts []*partition, why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range parts {
		q.lose(p, why)
	}
	q.shelf.keep(func(e *entry) bool { return !e.isLost() })
	q.tell()
}

// lose requires that mu is held.
func (q *Queue) lose(p *partition, why error) {
	p.gone = true
	if q.parts[p.place] == p {
		delete(q.parts, p.place)
	}
	if p.back != nil {
		close(p.back)
		p.back = nil
	}
	for s := range p.open {
		s.end(lostBecause(why))
	}
	p.settling = nil
	if p.paused {
		q.consumer.ResumeFetchPartitions(map[string][]int32{p.topic: {p.partition}})
	}
	p.waiting = waiting{}
	for _, w := range p.copying {
		w.entry.endCopy(w)
	}
}

func lostBecause(why error) error { return fmt.Errorf("%w: %w", signpost.ErrLeaseLost, why) }
