package main

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// places are the endpoints that messages are sent to.
type places struct {
	all    []*place
	byHost [][]*place
	calm   time.Duration
}

// A place is what the sending process knows of an endpoint.
type place struct {
	url    string
	alone  bool         // its host has no other one
	kind   int          // touched only by whoever calls heed
	calmAt atomic.Int64 // since when it is calm, in nanoseconds since 1970; 0: it isn't
}

func newPlaces(book addressBook, calm time.Duration, now time.Time) *places {
	ps := &places{calm: calm}
	for _, b := range book.Places {
		p := &place{url: b.URL, kind: b.Kind}
		if b.Kind == fine {
			p.calmAt.Store(now.UnixNano())
		}
		ps.all = append(ps.all, p)
		if b.Host == len(ps.byHost) {
			ps.byHost = append(ps.byHost, nil)
		}
		ps.byHost[b.Host] = append(ps.byHost[b.Host], p)
	}
	for _, host := range ps.byHost {
		for _, p := range host {
			p.alone = len(host) == 1
		}
	}
	return ps
}

// random returns a place of a random host.
func (ps *places) random(r *rand.Rand) *place {
	host := ps.byHost[r.IntN(len(ps.byHost))]
	return host[r.IntN(len(host))]
}

// isCalm reports whether the place has answered at once for so long that nothing of an earlier fault can be left.
func (p *place) isCalm(at int64) bool {
	since := p.calmAt.Load()
	return since != 0 && since <= at
}

// heed follows what the receivers' process tells of a place. It returns how long a message that has arrived took from
// Send, if that counts: its place answers at once, and did so when the message was sent. A place that recovers counts
// once a request has shown it to the dispatcher, and what waited for it has had the time to get there.
func (ps *places) heed(l line) (latency time.Duration, counts bool) {
	p := ps.all[l.place]
	switch {
	case l.at == 0:
		p.kind = l.kind
		p.calmAt.Store(0)
	case p.kind == fine && l.kind == fine && p.calmAt.Load() == 0:
		p.calmAt.Store(l.at + int64(ps.calm))
	}
	return time.Duration(l.at - l.sent), l.at != 0 && l.kind == fine && l.sent != 0 && p.isCalm(l.sent)
}
