package lines

import (
	"container/heap"
	"time"
)

// A rank says what comes first.
type rank struct {
	at  time.Time
	put uint64
}

func (r rank) after(held time.Time) rank {
	if held.After(r.at) {
		r.at = held
	}
	return r
}

// ranks are a heap.
type ranks []ranked

type ranked interface {
	rank() rank
	index() *int // where it stands in its heap, plus one; 0: in none
}

// A place is where an element stands in its heap.
type place struct{ i int }

func (p *place) index() *int { return &p.i }

// set puts x where it belongs by its rank, which may have changed.
func (r *ranks) set(x ranked) {
	if i := *x.index(); i > 0 {
		heap.Fix(r, i-1)
	} else {
		heap.Push(r, x)
	}
}

func (r ranks) Len() int { return len(r) }

func (r ranks) Less(i, j int) bool {
	a, b := r[i].rank(), r[j].rank()
	if c := a.at.Compare(b.at); c != 0 {
		return c < 0
	}
	return a.put < b.put
}

func (r ranks) Swap(i, j int) {
	r[i], r[j] = r[j], r[i]
	*r[i].index(), *r[j].index() = i+1, j+1
}

// Push implements heap.Interface.
func (r *ranks) Push(x any) {
	*r = append(*r, x.(ranked))
	*x.(ranked).index() = len(*r)
}

// Pop implements heap.Interface.
func (r *ranks) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	*x.index() = 0
	return x
}
