package memqueue

import (
	"container/heap"
	"maps"
	"time"

	"github.com/signpost-go/signpost"
)

// lines are what waits, by endpoint and host: what is due first comes first, and a hold moves a whole line or all lines
// of a host at once. Without holds the order is that of one line.
type lines struct {
	heap      ranks // of hosts that have messages
	hosts     map[string]*host
	endpoints map[string]*endpoint
	holds     map[string]time.Time // by host and endpoint; some are over
	sweep     int                  // how many holds there may be until those that are over are dropped
	n         int                  // messages
}

// A host has endpoints that have messages.
type host struct {
	place
	key  string
	held time.Time
	heap ranks // of endpoints
}

// An endpoint has messages.
type endpoint struct {
	place
	key  string
	held time.Time
	host *host
	heap ranks // of entries
}

// An entry is a message that has not ended.
type entry struct {
	place
	message        signpost.Message
	host, endpoint string
	due            time.Time
	put            uint64 // first in, first out among equals
}

func newLines() lines {
	return lines{hosts: map[string]*host{}, endpoints: map[string]*endpoint{}, holds: map[string]time.Time{}, sweep: 64}
}

func newEntry(m *signpost.Message) *entry {
	return &entry{message: clone(m), host: m.Host(), endpoint: m.Endpoint()}
}

// push takes in an entry.
func (l *lines) push(e *entry) {
	h := l.hosts[e.host]
	if h == nil {
		h = &host{key: e.host, held: l.holds[e.host]}
		l.hosts[h.key] = h
	}
	p := l.endpoints[e.endpoint]
	if p == nil {
		p = &endpoint{key: e.endpoint, held: l.holds[e.endpoint], host: h}
		l.endpoints[p.key] = p
	}
	p.heap.set(e)
	h.heap.set(p)
	l.heap.set(h)
	l.n++
}

// first is when the first message may come. It requires that there is one.
func (l *lines) first() time.Time { return l.heap[0].rank().at }

// pop takes out the message that comes first. It requires that there is one.
func (l *lines) pop() *entry {
	h := l.heap[0].(*host)
	p := h.heap[0].(*endpoint)
	e := heap.Pop(&p.heap).(*entry)
	if len(p.heap) > 0 {
		h.heap.set(p)
	} else {
		heap.Pop(&h.heap)
		delete(l.endpoints, p.key)
	}
	if len(h.heap) > 0 {
		l.heap.set(h)
	} else {
		heap.Pop(&l.heap)
		delete(l.hosts, h.key)
	}
	l.n--
	return e
}

// hold holds back a host or an endpoint.
func (l *lines) hold(key string, until, now time.Time) {
	if !until.After(now) {
		until = time.Time{}
		delete(l.holds, key)
	} else if l.holds[key] = until; len(l.holds) > l.sweep {
		maps.DeleteFunc(l.holds, func(_ string, t time.Time) bool { return !t.After(now) })
		l.sweep = 2*len(l.holds) + 64
	}
	if h := l.hosts[key]; h != nil {
		h.held = until
		l.heap.set(h)
	}
	if p := l.endpoints[key]; p != nil {
		p.held = until
		p.host.heap.set(p)
		l.heap.set(p.host)
	}
}

// all yields every entry.
func (l *lines) all(yield func(*entry) bool) {
	for _, p := range l.endpoints {
		for _, e := range p.heap {
			if !yield(e.(*entry)) {
				return
			}
		}
	}
}

// A rank says what comes first.
type rank struct {
	at  time.Time
	put uint64
}

func (e *entry) rank() rank { return rank{e.due, e.put} }

func (p *endpoint) rank() rank { return p.heap[0].rank().after(p.held) }

func (h *host) rank() rank { return h.heap[0].rank().after(h.held) }

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
