package kafka

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A message that is out for long, behind a rate limit perhaps, must not keep the watermark where it is: what is finished
// beyond it has to fit into a commit's metadata. So it is carried forward: a copy is written to the end of the same partition,
// and the lease stands for the copy from then on. When the copy is fetched it is known by its token, and passed over while the
// lease is out. After a crash it comes as any other message does. A message that waits for less than the smallest step is
// brought up to date in the same way: its copy has the attempts and the time, and it itself stays in memory.

// carryMost is how many messages of a partition are carried forward at a time.
const carryMost = 500

// copy returns the write of a copy of e's message, which goes on as next. It requires that mu is held.
func (q *Queue) copy(e, next *entry) *write {
	p := e.part
	q.copies++
	token := q.instance + "." + strconv.FormatUint(q.copies, 36)
	due := next.due
	if !due.After(time.Now()) {
		due = time.Time{}
	}
	w := &write{
		part: p, offset: e.offset, entry: e, next: next, copy: token, over: make(chan struct{}),
		record: encode(p.topic, next.message, next.more, due),
	}
	w.record.Partition = p.partition
	w.record.Headers = append(w.record.Headers, kgo.RecordHeader{Key: headerCopy, Value: []byte(token)})
	p.copying[token] = w
	e.copying = w
	return w
}

// copyArrived is called when it is known that a copy is at an offset: because the brokers have said so, or because it was
// fetched, whichever is first. It requires that mu is held.
func (q *Queue) copyArrived(p *partition, w *write, offset int64) {
	delete(p.copying, w.copy)
	w.done = true
	if w.failed { // it was there all the same, and something else has been done about its message since
		q.finish(p, offset)
		return
	}
	w.entry.endCopy(w)
	w.next.offset = offset
	p.entries[offset] = w.next
	q.finish(p, w.offset)
	if s := w.settle; s != nil {
		s.offset = w.offset
		p.settling = append(p.settling, s)
		if !w.next.isLost() {
			q.shelf.push(w.next)
			q.relieve = true
			q.wakeRunner()
			q.tell()
		}
	}
}

// endCopy notes that w isn't being written any more.
func (e *entry) endCopy(w *write) {
	if e.copying == w {
		e.copying = nil
		close(w.over)
	}
}

// carry returns the copies of messages that keep a partition's watermark back, if it is time for them and of use: where nearly
// all messages of a window are out, copies of them would only fill the next one. It requires that mu is held.
func (q *Queue) carry(p *partition, metadata int) []*write {
	size := p.water.size()
	if p.step >= 0 || p.leaving || len(p.copying) > carryMost {
		return nil
	}
	crowded := size > q.config.window*3/4 && p.water.unfinished() < size*3/4
	if !crowded && metadata <= q.config.metadata*3/4 {
		return nil
	}
	var writes []*write
	end := p.water.base + max(size/4, 1)
	for o, i := p.water.base, 0; o < end && len(writes) < carryMost; {
		if i < len(p.water.done) && p.water.done[i].from == o {
			o = p.water.done[i].to
			i++
			continue
		}
		if e := p.entries[o]; e != nil && !e.moving && e.copying == nil {
			writes = append(writes, q.copy(e, e))
		}
		o++
	}
	return writes
}
