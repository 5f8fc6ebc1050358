package sqlite

import "container/heap"

// A timer is a line's or a host's.
type timer struct {
	at    int64
	place int // in timers, from 1; 0: not there
	line  *line
	host  *host
}

// timers are a heap.
type timers []*timer

// set has t come at the given time, or not at all if that is not in the future, or never.
func (h *timers) set(t *timer, at, now int64) {
	wanted := at > now && at != never
	switch {
	case wanted && t.place == 0:
		t.at = at
		heap.Push(h, t)
	case wanted && t.at != at:
		t.at = at
		heap.Fix(h, t.place-1)
	case !wanted && t.place > 0:
		heap.Remove(h, t.place-1)
	}
}

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }

func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *timers) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.place = len(*h)
}

func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = 0
	return t
}

// byPosition is a heap of messages, the first one to be due first.
type byPosition []position

func (h byPosition) Len() int           { return len(h) }
func (h byPosition) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h byPosition) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byPosition) Push(x any)        { *h = append(*h, x.(position)) }
func (h *byPosition) Pop() any          { return pop((*[]position)(h)) }

// byNumber is a heap of messages, the first one that was accepted first.
type byNumber []position

func (h byNumber) Len() int           { return len(h) }
func (h byNumber) Less(i, j int) bool { return h[i].number < h[j].number }
func (h byNumber) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byNumber) Push(x any)        { *h = append(*h, x.(position)) }
func (h *byNumber) Pop() any          { return pop((*[]position)(h)) }

func pop(h *[]position) position {
	last := len(*h) - 1
	p := (*h)[last]
	if *h = (*h)[:last]; last == 0 {
		*h = nil // what a long outage took is free again
	}
	return p
}
