package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost"
)

// A place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// A partition is one that is assigned to this instance, from then until it is lost. If it is assigned again that is another
// one. All is protected by Queue.mu.
type partition struct {
	place
	step    int // of the ladder; -1: it is of the ready topic
	water   watermark
	entries map[int64]*entry  // of messages that aren't finished, by offset; some are copies that were not fetched yet
	copying map[string]*write // copies whose place isn't known yet, or not for sure, by token
	waiting waiting           // in a delay topic: what is to be forwarded
	paused  bool

	dirty     bool                 // there is something to commit that no commit has begun with
	pending   bool                 // a commit has begun
	settling  []*settlement        // what waits for the next commit
	open      map[*settlement]bool // that were begun and have not ended
	trimmed   int64                // all before was deleted, or never was there
	committed int64                // the last base that was

	back    chan struct{} // it is suspended: closed when it is known whether it comes back; nil: it isn't
	leaving bool          // it is about to be lost: nothing new begins
	gone    bool          // it is lost
	drained chan struct{} // closed when nothing is on its way any more, once it is leaving
}

func newPartition(at place, step int) *partition {
	return &partition{
		place: at, step: step, water: watermark{base: -1},
		entries: map[int64]*entry{}, copying: map[string]*write{}, open: map[*settlement]bool{}, drained: make(chan struct{}),
	}
}

// An entry is a message of the ready topic that isn't finished. All is protected by Queue.mu.
type entry struct {
	part           *partition
	offset         int64
	message        *signpost.Message
	more           []kgo.RecordHeader // headers that aren't the message's
	due            time.Time
	host, endpoint string
	leased         bool
	moving         bool   // it is being written onward, and ends here
	copying        *write // a copy of it is being written, where it goes on
	lost           bool   // its partition was cut back
}

func (e *entry) isLost() bool { return e.lost || e.part.gone || e.part.leaving }

// size is what it counts against the shelf's room.
func (e *entry) size() int { return len(e.message.Payload) }

// finish notes that an offset is finished, and has it committed. It requires that mu is held.
func (q *Queue) finish(p *partition, offset int64) {
	if p.gone {
		return
	}
	delete(p.entries, offset)
	p.water.finish(offset, offset+1)
	q.dirty(p)
}

func (q *Queue) dirty(p *partition) {
	p.dirty = true
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// checkDrained requires that mu is held.
func (p *partition) checkDrained() {
	if p.leaving && len(p.open) == 0 && !p.dirty && !p.pending {
		select {
		case <-p.drained:
		default:
			close(p.drained)
		}
	}
}

// rewind has a partition go on from an offset that it was beyond: its log was cut back, or it is another one under the same
// name. What was beyond isn't there any more.
func (p *partition) rewind(o int64) {
	for at, e := range p.entries {
		if at >= o {
			e.lost = true
			delete(p.entries, at)
		}
	}
	p.water.rewind(o)
	p.trimmed, p.committed = min(p.trimmed, o), min(p.committed, o)
	p.waiting = waiting{}
}

// waiting are the records of a delay topic's partition that aren't forwarded yet, in order.
type waiting struct {
	records []*kgo.Record
	bytes   int
}

func (w *waiting) push(r *kgo.Record) {
	w.records = append(w.records, r)
	w.bytes += len(r.Value)
}

func (w *waiting) pop() *kgo.Record {
	r := w.records[0]
	w.records[0] = nil
	w.records = w.records[1:]
	w.bytes -= len(r.Value)
	return r
}

const (
	maxWaiting      = 2000 // records of a delay topic's partition in memory
	maxWaitingBytes = 2 << 20
)

// isFull reports whether no more are to be fetched now.
func (w *waiting) isFull() bool { return len(w.records) >= maxWaiting || w.bytes >= maxWaitingBytes }

// isLow reports whether more are to be fetched again.
func (w *waiting) isLow() bool { return len(w.records) < maxWaiting/2 && w.bytes < maxWaitingBytes/2 }
