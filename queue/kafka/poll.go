package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost/internal/ladder"
	"github.com/signpost-go/signpost/internal/wire"
)

// pollMost is how many records are taken over at a time. Meanwhile no rebalance begins.
const pollMost = 500

// poll is the poller's goroutine.
func (q *Queue) poll() {
	complaints := map[string]time.Time{} // when each was made last
	for {
		fetches := q.consumer.PollRecords(q.ctx, pollMost)
		if q.ctx.Err() != nil || fetches.IsClientClosed() {
			q.consumer.AllowRebalance()
			return
		}
		q.takeOver(fetches)
		q.consumer.AllowRebalance()
		q.pause()
		q.pauseParts()
		q.heed(fetches, complaints)
	}
}

// takeOver takes over what was fetched.
func (q *Queue) takeOver(fetches kgo.Fetches) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := q.parts[place{f.Topic, f.Partition}]
		if p == nil || p.leaving {
			return
		}
		var loss *kgo.ErrDataLoss
		if errors.As(f.Err, &loss) && loss.ResetTo < p.water.next {
			q.rewind(p, loss.ResetTo)
		}
		for _, r := range f.Records {
			q.take(p, r, now)
		}
	})
	q.relieve = true
	q.relieveShelf(now) // now, so that held messages are no reason to pause
	q.wakeRunner()
	q.tell()
}

func (q *Queue) rewind(p *partition, o int64) {
	q.config.logger.Error("kafka: a partition was cut back, messages may be lost; its topic was deleted, or an unclean leader elected",
		"topic", p.topic, "partition", p.partition, "from", p.water.next, "to", o)
	p.rewind(o)
	q.dirty(p)
}

// take takes over a record. It requires that mu is held.
func (q *Queue) take(p *partition, r *kgo.Record, now time.Time) {
	if r.Offset < p.water.next {
		q.rewind(p, r.Offset)
	}
	before := p.water.base
	p.water.fetch(r.Offset)
	if p.water.base != before && before >= 0 {
		q.dirty(p) // offsets that are none were passed over
	}
	if p.water.finished(r.Offset) || p.entries[r.Offset] != nil {
		return
	}
	if w := p.copying[header(r, headerCopy)]; w != nil {
		q.copyArrived(p, w, r.Offset)
		return
	}
	if p.step >= 0 {
		p.waiting.push(r)
		return
	}
	m, more, notBefore, err := q.decode(r)
	if size := sizeOf(r); err == nil && size > q.config.maxBytes+room/2 { // compressed, a topic takes more than can be written on
		err = fmt.Errorf("it has %d bytes with its headers; at most %d are allowed (WithMaxBytes)", size, q.config.maxBytes)
	}
	if err != nil {
		q.bury(p, r, err, now)
		return
	}
	e := &entry{part: p, offset: r.Offset, message: m, more: more, due: notBefore, host: m.Host(), endpoint: m.Endpoint()}
	if e.due.IsZero() {
		e.due = now
	}
	p.entries[r.Offset] = e
	switch home := q.home(e, p, r); {
	case home >= 0:
		w := q.onward(e, m, q.config.ready(), notBefore)
		w.record.Headers = append(w.record.Headers, kgo.RecordHeader{Key: headerMoved, Value: []byte("1")})
		q.send(w)
	case q.stepFor(e.due.Sub(now)) >= 0:
		q.send(q.onward(e, m, q.config.delay(q.stepFor(e.due.Sub(now))), e.due))
	default:
		q.shelf.push(e)
	}
}

// stepFor is the step to wait in, -1 for none.
func (q *Queue) stepFor(wait time.Duration) int {
	if i, ok := ladder.Step(q.config.steps, wait); ok {
		return i
	}
	return -1
}

// home returns the partition that a message should be in, if it isn't: its producer may hash otherwise, or there were fewer
// partitions. It is -1 if the message stays. One instance is to speak to a host.
func (q *Queue) home(e *entry, p *partition, r *kgo.Record) int32 {
	n := int(q.partitions.Load())
	if e.host == "" || n < 1 || header(r, headerMoved) != "" || header(r, headerCopy) != "" {
		return -1
	}
	if at := q.hash.of(e.host, n); at != p.partition {
		return at
	}
	return -1
}

// bury has a record that is no message go to the dead topic as it is. It requires that mu is held.
func (q *Queue) bury(p *partition, r *kgo.Record, why error, now time.Time) {
	q.config.logger.Warn("kafka: a message can't be parsed, it is dead",
		"topic", r.Topic, "partition", r.Partition, "offset", r.Offset, "err", why)
	headers := without(r, wire.Reason, wire.DiedAt, wire.LastStatus, wire.LastError)
	q.send(&write{part: p, offset: r.Offset, record: &kgo.Record{
		Topic: q.config.dead(), Partition: anyPartition, Key: r.Key, Value: r.Value,
		Headers: appendFields(headers, []wire.Field{
			{Name: wire.DiedAt, Value: wire.FormatTime(now)}, {Name: wire.Reason, Value: why.Error()}}),
	}})
}

// pauseParts pauses what has enough in memory, and resumes what hasn't any more.
func (q *Queue) pauseParts() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for at, p := range q.parts {
		full, low := p.water.size() >= q.config.window, p.water.size() < q.config.window*3/4
		if p.step >= 0 {
			full, low = p.waiting.isFull(), p.waiting.isLow()
		}
		one := map[string][]int32{at.topic: {at.partition}}
		switch {
		case full && !p.paused:
			p.paused = true
			q.consumer.PauseFetchPartitions(one)
		case low && p.paused:
			p.paused = false
			q.consumer.ResumeFetchPartitions(one)
		}
	}
}

// heed looks at the errors that came instead of records.
func (q *Queue) heed(fetches kgo.Fetches, complaints map[string]time.Time) {
	var broken error
	for _, e := range fetches.Errors() {
		var loss *kgo.ErrDataLoss
		if errors.As(e.Err, &loss) || errors.Is(e.Err, context.Canceled) {
			continue
		}
		broken = explain("read topic "+e.Topic, e.Err)
		if text := broken.Error(); time.Since(complaints[text]) > time.Minute {
			complaints[text] = time.Now()
			q.config.logger.Error("kafka: a topic or the group can't be read, will try again",
				"topic", e.Topic, "partition", e.Partition, "err", e.Err)
		}
	}
	if broken == nil && fetches.NumRecords() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.broken, q.brokenAt = broken, time.Now()
}
