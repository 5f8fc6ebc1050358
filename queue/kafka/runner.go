package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/wire"
)

// A write is a record on its way to where a message goes on. When the brokers have it, the place where the message was is
// finished.
type write struct {
	part   *partition
	offset int64 // the place that is finished then; an entry may have another one by then
	record *kgo.Record
	entry  *entry      // whose message it is; nil: the record has never been one
	settle *settlement // who waits for it; nil: nobody does

	copy string        // the token of a copy: the message goes on at the record's place
	next *entry        // as this one
	over chan struct{} // closed when the copy isn't being written any more

	counted  bool // in Queue.moving
	failures int
	done     bool // it is known where the copy is, or that it is of no use any more
	failed   bool // a copy: it may be there all the same
}

// A delayed write is one that has failed.
type delayed struct {
	write *write
	at    time.Time
}

const (
	writeAgain    = 200 * time.Millisecond // after a failure, at first
	maxWriteAgain = 10 * time.Second
)

// send has the runner do a write. It requires that mu is held.
func (q *Queue) send(w *write) {
	q.count(w)
	q.todo = append(q.todo, w)
	q.wakeRunner()
}

// count counts a write that nobody waits for. It requires that mu is held.
func (q *Queue) count(w *write) {
	w.counted = true
	q.moving++
	q.movingBytes += len(w.record.Value)
}

func (q *Queue) wakeRunner() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run is the runner's goroutine: it writes onward what nobody waits for.
func (q *Queue) run() {
	for {
		writes, next := q.due()
		for _, w := range writes {
			q.write(w)
		}
		if q.resumeSome(); len(writes) > 0 {
			continue
		}
		var over <-chan time.Time
		var timer *time.Timer
		if !next.IsZero() {
			timer = time.NewTimer(time.Until(next))
			over = timer.C
		}
		select {
		case <-q.wake:
		case <-over:
		case <-q.ctx.Done():
			return
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// write hands a record to the client.
func (q *Queue) write(w *write) {
	q.producer.Produce(q.ctx, w.record, func(r *kgo.Record, err error) { q.written(w, r, err) })
}

// resumeSome has what was paused go on.
func (q *Queue) resumeSome() {
	q.mu.Lock()
	joined := q.consumer != nil
	q.mu.Unlock()
	if joined {
		q.resume()
		q.pauseParts()
	}
}

// due returns what must be written now, and when to look again; zero: when woken.
func (q *Queue) due() (writes []*write, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.relieveShelf(now)
	writes = q.todo
	q.todo = nil
	earliest := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	var still []delayed
	for _, d := range q.later {
		if d.at.After(now) {
			still = append(still, d)
			earliest(d.at)
		} else {
			writes = append(writes, d.write)
		}
	}
	q.later = still
	for _, p := range q.parts {
		for !p.leaving && len(p.waiting.records) > 0 {
			if q.stalled = q.moving >= maxMoving || q.movingBytes >= maxMovingBytes; q.stalled {
				break
			}
			r := p.waiting.records[0]
			notBefore, hop := q.hops(p, r)
			if hop.After(now) {
				earliest(hop)
				break
			}
			writes = append(writes, q.forward(p, p.waiting.pop(), notBefore, now))
		}
	}
	return writes, next
}

// hops returns when a record of a delay topic is due, and when it must go on: all records of a topic wait equally long, so
// none waits behind one that waits for longer.
func (q *Queue) hops(p *partition, r *kgo.Record) (notBefore, hop time.Time) {
	hop = r.Timestamp.Add(q.config.steps[p.step])
	notBefore, err := time.Parse(time.RFC3339, header(r, wire.NotBefore))
	if err != nil || notBefore.Before(hop) {
		hop = notBefore // it isn't one of ours if there is none
	}
	return notBefore, hop
}

// forward returns the write that brings a record of a delay topic to the ready topic, or to the next delay topic if it isn't
// due yet. It requires that mu is held.
func (q *Queue) forward(p *partition, r *kgo.Record, notBefore, now time.Time) *write {
	topic := q.config.ready()
	if i := q.stepFor(notBefore.Sub(now)); i >= 0 {
		topic = q.config.delay(i)
	}
	w := &write{part: p, offset: r.Offset, record: &kgo.Record{
		Topic: topic, Partition: anyPartition, Key: r.Key, Value: r.Value, Headers: without(r, headerCopy),
	}}
	q.count(w)
	return w
}

// relieveShelf sends away what is held beyond what the shelf should keep, if something has changed. It requires that mu is
// held.
func (q *Queue) relieveShelf(now time.Time) {
	if !q.relieve {
		return
	}
	q.relieve = false
	for _, e := range q.shelf.tooManyHeld(now) {
		q.sendAway(e, now)
	}
}

// sendAway has a held message wait in a delay topic. It requires that mu is held.
func (q *Queue) sendAway(e *entry, now time.Time) {
	until := q.shelf.heldUntil(e, now)
	at := q.shelf.comesBack(e, until)
	if e.due.After(at) {
		at = e.due
	}
	i := max(0, q.stepFor(at.Sub(now)))
	if first := now.Add(q.config.steps[0]); at.Before(first) {
		at = first
	}
	q.send(q.onward(e, e.message, q.config.delay(i), at))
}

// onward returns the write that brings e's message, as m, to another topic, where it is due at the given time. It requires
// that mu is held.
func (q *Queue) onward(e *entry, m *signpost.Message, topic string, at time.Time) *write {
	e.moving = true
	return &write{part: e.part, offset: e.offset, entry: e, record: encode(topic, m, e.more, at)}
}

// written is called when it is known what has become of a write.
func (q *Queue) written(w *write, r *kgo.Record, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if w.counted {
		q.moving--
		q.movingBytes -= len(w.record.Value)
	}
	p := w.part
	switch {
	case w.done:
	case p.gone:
		if w.settle != nil {
			w.settle.end(lostBecause(errTaken))
		}
	case err != nil && w.copy != "":
		w.failed = true
		w.entry.endCopy(w)
		w.entry.moving = false
		if w.settle != nil {
			w.settle.end(q.failedWrite(err))
		}
	case err != nil && w.settle != nil:
		w.entry.moving = false
		w.settle.end(q.failedWrite(err))
	case err != nil:
		q.again(w, err)
	case w.copy != "":
		q.copyArrived(p, w, r.Offset)
	default:
		q.finish(p, w.offset)
		if w.settle != nil {
			w.settle.offset = w.offset
			p.settling = append(p.settling, w.settle)
		}
	}
	p.checkDrained()
	q.wakeIfPaused()
}

// wakeIfPaused has the runner look whether something that was paused may go on. It requires that mu is held.
func (q *Queue) wakeIfPaused() {
	if q.paused || q.stalled {
		q.wakeRunner()
	}
}

func (q *Queue) failedWrite(err error) error {
	if errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, context.Canceled) {
		return lostBecause(ErrClosed)
	}
	return explain("settle", err)
}

// again has a write that nobody waits for tried again, later. It requires that mu is held.
func (q *Queue) again(w *write, err error) {
	if q.ctx.Err() != nil {
		return
	}
	tooLarge := errors.Is(err, kerr.MessageTooLarge)
	if tooLarge && w.record.Topic == q.config.dead() && len(w.record.Value) > 0 {
		// It must not keep its partition back for ever.
		q.config.logger.Error("kafka: a dead letter is too large, it is kept without its payload", "from", w.part.topic,
			"partition", w.part.partition, "offset", w.offset, "bytes", len(w.record.Value), "err", err)
		w.record = &kgo.Record{
			Topic: w.record.Topic, Partition: anyPartition, Key: w.record.Key, Headers: w.record.Headers,
		}
	} else if tooLarge && w.record.Topic != q.config.dead() {
		// It has more headers than when it came, and there was no room for them.
		w.record = &kgo.Record{
			Topic: q.config.dead(), Partition: anyPartition, Key: w.record.Key, Value: w.record.Value,
			Headers: appendFields(without(w.record, wire.NotBefore), []wire.Field{
				{Name: wire.DiedAt, Value: wire.FormatTime(time.Now())}, {Name: wire.Reason, Value: err.Error()}}),
		}
	} else {
		w.record = &kgo.Record{
			Topic: w.record.Topic, Partition: anyPartition, Key: w.record.Key, Value: w.record.Value, Headers: w.record.Headers,
		}
	}
	wait := min(writeAgain<<min(w.failures, 10), maxWriteAgain)
	if w.failures++; w.failures == 1 || w.failures%10 == 0 {
		q.config.logger.Error("kafka: a message can't be written onward, will try again",
			"from", w.part.topic, "partition", w.part.partition, "offset", w.offset, "to", w.record.Topic, "err", err)
	}
	q.count(w)
	q.later = append(q.later, delayed{w, time.Now().Add(wait)})
	q.wakeRunner()
}
