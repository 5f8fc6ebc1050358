package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// When the group's coordinator can't be reached, or has thrown this instance out, the client gives up its partitions, joins
// again, and has most of them again a moment later, unless others were there meanwhile. So a partition that is lost in this way
// is suspended at first: nothing is received from it, and Settle waits. If it is assigned again, and nothing was committed by
// somebody else, everything goes on as it was: leases stay out, and what came in between is committed.

// suspend is called when partitions may have been given to others already.
func (q *Queue) suspend(parts map[string][]int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.those(parts) {
		if p.leaving || q.closed {
			q.lose(p, errTaken)
			continue
		}
		p.back = make(chan struct{})
		delete(q.parts, p.place)
		q.suspended[p.place] = p
	}
	q.shelf.keep(func(e *entry) bool { return !e.isLost() && e.part.back == nil })
}

// forgetSuspended loses those that are suspended and not among the partitions that are assigned.
func (q *Queue) forgetSuspended(assigned map[string][]int32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for at, p := range q.suspended {
		if !slices.Contains(assigned[at.topic], at.partition) {
			delete(q.suspended, at)
			q.lose(p, errTaken)
		}
	}
}

// resumes has a partition that was suspended go on, and reports whether it does. Whatever is committed must have been finished
// here: then nobody else has finished anything. It requires that mu is held.
func (q *Queue) resumes(at place, committed int64, done spans) bool {
	p := q.suspended[at]
	if p == nil {
		return false
	}
	delete(q.suspended, at)
	if q.closed || committed < 0 && p.committed > 0 || !p.water.covers(committed, done) {
		q.lose(p, errTaken)
		return false
	}
	close(p.back)
	p.back = nil
	q.parts[at] = p
	for _, e := range p.entries {
		if !e.leased && !e.moving && !e.lost {
			q.shelf.push(e)
		}
	}
	q.dirty(p)
	q.wakeRunner()
	q.tell()
	return true
}

// goOn has partitions that were resumed fetched from where they were.
func (q *Queue) goOn(_ context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for topic, parts := range at {
		for n := range parts {
			if p := q.parts[place{topic, n}]; p != nil && p.water.base >= 0 {
				parts[n] = kgo.NewOffset().At(p.water.next)
			}
		}
	}
	return at, nil
}
