package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	commitAgain    = 50 * time.Millisecond // after a failure, at first
	maxCommitAgain = 2 * time.Second
	commitTime     = 30 * time.Second // for one attempt
	sureAfter      = time.Second
	minMetadata    = 64
)

// commitAll is the committer's goroutine: one commit at a time has the progress of all partitions, for everybody who waits.
func (q *Queue) commitAll() {
	wait := time.Duration(0)
	var sure <-chan time.Time // when to commit everything once more
	for {
		select {
		case <-q.kick:
		case <-sure:
			sure = nil
			q.dirtyAll()
		case <-q.ctx.Done():
			return
		}
		if wait > 0 && !sleep(q.ctx, wait) {
			return
		}
		switch err := q.commit(); {
		case err == nil:
			if wait > 0 { // The one that failed may be on its way yet, and arrive after this one.
				sure = time.After(sureAfter)
			}
			wait = 0
		case q.ctx.Err() != nil:
			return
		default:
			wait = min(max(2*wait, commitAgain), maxCommitAgain)
		}
	}
}

func (q *Queue) dirtyAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.parts {
		if p.committed > 0 {
			q.dirty(p)
		}
	}
}

// A progress is what one commit says of a partition.
type progress struct {
	part     *partition
	base     int64
	metadata string
	waiting  []*settlement
}

// commit commits what is finished. What was not committed is again when it is called again, for which it has seen to.
func (q *Queue) commit() error {
	parts := q.dirtyParts()
	if len(parts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(q.ctx, commitTime)
	defer cancel()
	var begun map[place]*progress
	// The client has put the group's generation into the request by the time it asks. A partition that is ours after that
	// was ours in that generation; if it is lost meanwhile the generation is an old one, and the brokers refuse it.
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		begun = q.fill(req)
		return nil
	})
	var err error
	failed := map[place]error{}
	q.consumer.CommitOffsetsSync(ctx, parts,
		func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
			if err = e; err == nil {
				failed = results(req, resp)
			}
		})
	return q.committed(begun, failed, err)
}

// dirtyParts are the partitions that have something to commit.
func (q *Queue) dirtyParts() map[string]map[int32]kgo.EpochOffset {
	q.mu.Lock()
	defer q.mu.Unlock()
	parts := map[string]map[int32]kgo.EpochOffset{}
	for at, p := range q.parts {
		if p.dirty {
			if parts[at.topic] == nil {
				parts[at.topic] = map[int32]kgo.EpochOffset{}
			}
			parts[at.topic][at.partition] = kgo.EpochOffset{Epoch: -1, Offset: p.water.base}
		}
	}
	return parts
}

// fill puts the progress of those partitions into a commit that are ours now.
func (q *Queue) fill(req *kmsg.OffsetCommitRequest) map[place]*progress {
	q.mu.Lock()
	defer q.mu.Unlock()
	begun := map[place]*progress{}
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		parts := t.Partitions[:0]
		for _, r := range t.Partitions {
			p := q.parts[place{t.Topic, r.Partition}]
			if p == nil || p.water.base < 0 {
				continue
			}
			c := p.begin(q.config.metadata)
			r.Offset, r.Metadata = c.base, &c.metadata
			parts = append(parts, r)
			begun[p.place] = c
		}
		if t.Partitions = parts; len(parts) > 0 {
			topics = append(topics, t)
		}
	}
	req.Topics = topics
	return begun
}

// begin begins a commit, with metadata of so many characters at most. Who waits for what doesn't fit goes on waiting.
func (p *partition) begin(most int) *progress {
	c := &progress{part: p, base: p.water.base}
	var through int64
	c.metadata, through = fitDone(p.water.base, p.water.done, most)
	still := p.settling[:0:0]
	for _, s := range p.settling {
		if s.offset < through {
			c.waiting = append(c.waiting, s)
		} else {
			still = append(still, s)
		}
	}
	p.settling, p.dirty, p.pending = still, len(still) > 0, true
	return c
}

// results returns which partitions were not committed.
func results(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) map[place]error {
	names := map[[16]byte]string{}
	failed := map[place]error{}
	for _, t := range req.Topics {
		names[t.TopicID] = t.Topic
		for _, p := range t.Partitions {
			failed[place{t.Topic, p.Partition}] = errors.New("the answer doesn't say")
		}
	}
	for _, t := range resp.Topics {
		if t.Topic == "" {
			t.Topic = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				failed[place{t.Topic, p.Partition}] = err
			} else {
				delete(failed, place{t.Topic, p.Partition})
			}
		}
	}
	return failed
}

// committed is called with what has become of a commit.
func (q *Queue) committed(begun map[place]*progress, failed map[place]error, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	whole := err
	for at, c := range begun {
		p := c.part
		p.pending = false
		why := whole
		if why == nil {
			why = failed[at]
		}
		switch {
		case why == nil:
			if c.base <= p.water.base { // not if the partition was cut back meanwhile: nothing unfinished must be trimmed
				p.committed = max(p.committed, c.base)
			}
			for _, s := range c.waiting {
				s.end(nil)
			}
			for _, w := range q.carry(p, len(c.metadata)) {
				q.send(w)
			}
			if p.dirty {
				q.dirty(p)
			}
		case p.gone: // its settlements have ended
		default:
			p.settling = append(c.waiting, p.settling...)
			q.dirty(p)
			if errors.Is(why, kerr.OffsetMetadataTooLarge) {
				q.shortenMetadata(len(c.metadata))
			}
			err = errors.Join(err, fmt.Errorf("commit %s/%d: %w", at.topic, at.partition, why))
		}
		p.checkDrained()
	}
	if len(begun) == 0 && err != nil {
		q.dirtyAgain()
	}
	q.wakeRunner()
	return err
}

// dirtyAgain has the committer try again. It requires that mu is held.
func (q *Queue) dirtyAgain() {
	for _, p := range q.parts {
		if p.dirty {
			q.dirty(p)
			return
		}
	}
}

// shortenMetadata is called when the brokers have refused metadata of so many characters. It requires that mu is held.
func (q *Queue) shortenMetadata(size int) {
	if size > q.config.metadata || q.config.metadata <= minMetadata {
		return
	}
	q.config.metadata = max(minMetadata, size*3/4)
	q.config.window = min(q.config.window, 4*int64(q.config.metadata))
	q.config.logger.Warn("kafka: the brokers take little metadata with a commit; raise offset.metadata.max.bytes to 4096",
		"tried", size, "next", q.config.metadata)
}
