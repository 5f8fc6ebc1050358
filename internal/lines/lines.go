// Package lines keeps what waits in memory for its turn, in lines by endpoint and host: what is due first comes first, and a
// hold moves a whole line, or all lines of a host, at once. It is a plain data structure: no lock, no goroutine, no clock.
package lines

import (
	"container/heap"
	"maps"
	"time"
)

// Lines hold values that wait, each at an endpoint of a host and due at a time. Without holds the order is that of one line:
// by time, and first in, first out among equals. An operation costs O(log n) for n hosts, endpoints and values of a line.
type Lines[T any] struct {
	heap      ranks // of hosts that have values
	hosts     map[string]*host
	endpoints map[string]*endpoint[T]
	holds     map[string]time.Time // by host and endpoint; some are over
	sweep     int                  // how many holds there may be until those that are over are dropped
	n         int                  // values
	puts      uint64               // values put so far
}

// A host has endpoints that have values.
type host struct {
	place
	key  string
	held time.Time
	heap ranks // of endpoints
}

// An endpoint has values.
type endpoint[T any] struct {
	place
	key  string
	held time.Time
	host *host
	heap ranks // of entries
}

// An entry is a value that waits.
type entry[T any] struct {
	place
	value T
	due   time.Time
	put   uint64 // first in, first out among equals
}

// New returns empty Lines.
func New[T any]() *Lines[T] {
	return &Lines[T]{hosts: map[string]*host{}, endpoints: map[string]*endpoint[T]{}, holds: map[string]time.Time{}, sweep: 64}
}

// Push takes in v. The same endpoint must always come with the same host.
func (l *Lines[T]) Push(v T, hostKey, endpointKey string, due time.Time) {
	h := l.hosts[hostKey]
	if h == nil {
		h = &host{key: hostKey, held: l.holds[hostKey]}
		l.hosts[hostKey] = h
	}
	p := l.endpoints[endpointKey]
	if p == nil {
		p = &endpoint[T]{key: endpointKey, held: l.holds[endpointKey], host: h}
		l.endpoints[endpointKey] = p
	}
	l.puts++
	p.heap.set(&entry[T]{value: v, due: due, put: l.puts})
	h.heap.set(p)
	l.heap.set(h)
	l.n++
}

// Len returns how many values wait.
func (l *Lines[T]) Len() int { return l.n }

// First returns when the first value may come: when it is due and no hold on its host or endpoint is left. It requires that
// there is one.
func (l *Lines[T]) First() time.Time { return l.heap[0].rank().at }

// Pop takes out the value that comes first. It requires that there is one.
func (l *Lines[T]) Pop() T {
	h := l.heap[0].(*host)
	p := h.heap[0].(*endpoint[T])
	e := heap.Pop(&p.heap).(*entry[T])
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
	return e.value
}

// Hold holds back a host or an endpoint, what it has now and what comes, until a time; one that isn't after now ends its hold.
func (l *Lines[T]) Hold(key string, until, now time.Time) {
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

// HeldUntil returns when the last hold on a host or one of its endpoints ends, and the zero time if there is none.
func (l *Lines[T]) HeldUntil(hostKey, endpointKey string, now time.Time) time.Time {
	until := l.holds[hostKey]
	if t := l.holds[endpointKey]; t.After(until) {
		until = t
	}
	if !until.After(now) {
		return time.Time{}
	}
	return until
}

// All yields every value, in no particular order. Nothing may be changed meanwhile.
func (l *Lines[T]) All(yield func(T) bool) {
	for _, p := range l.endpoints {
		for _, e := range p.heap {
			if !yield(e.(*entry[T]).value) {
				return
			}
		}
	}
}

// Clear takes out all values. The holds stay.
func (l *Lines[T]) Clear() {
	l.heap, l.n = nil, 0
	clear(l.hosts)
	clear(l.endpoints)
}

func (e *entry[T]) rank() rank { return rank{e.due, e.put} }

func (p *endpoint[T]) rank() rank { return p.heap[0].rank().after(p.held) }

func (h *host) rank() rank { return h.heap[0].rank().after(h.held) }
