package signpost

// A waiter is a Send that waits for room in the queue.
type waiter struct {
	delivery *delivery
	to       *destination
	done     chan struct{} // closed when it is admitted or refused
	err      error         // written before done is closed
	gone     bool          // not among the waiters any more
}

// waiters are those that wait for room, by host and by endpoint: one look at a host tells whether anybody who waits
// for it can be let in, and one look at an endpoint's line likewise. The zero value is empty. Their owner's lock
// protects them.
type waiters struct {
	ring[*waitingHost]
	hosts map[string]*waitingHost
}

type waitingHost struct {
	name string
	ring[*waiterLine]
	lines map[string]*waiterLine
}

type waiterLine struct {
	host     *waitingHost
	endpoint string
	line     []*waiter // in the order in which they came, those that are gone among them
	waiting  int       // those that aren't
}

// A ring is a set whose elements are looked at in turn.
type ring[E comparable] struct {
	elems []E
	next  int // where to look next
}

func (r *ring[E]) empty() bool { return len(r.elems) == 0 }

func (r *ring[E]) add(e E) { r.elems = append(r.elems, e) }

// turn returns the element whose turn it is.
func (r *ring[E]) turn() E {
	r.next++
	return r.elems[r.next%len(r.elems)]
}

// drop removes e, which is found at once if it was its turn.
func (r *ring[E]) drop(e E) {
	last := len(r.elems) - 1
	for i := range r.elems {
		if at := (r.next + i) % len(r.elems); r.elems[at] == e {
			r.elems[at] = r.elems[last]
			r.elems = r.elems[:last]
			return
		}
	}
}

func (ws *waiters) push(w *waiter) {
	h := ws.hosts[w.to.host]
	if h == nil {
		h = &waitingHost{name: w.to.host, lines: make(map[string]*waiterLine)}
		if ws.hosts == nil {
			ws.hosts = make(map[string]*waitingHost)
		}
		ws.hosts[h.name] = h
		ws.add(h)
	}
	l := h.lines[w.to.endpoint]
	if l == nil {
		l = &waiterLine{host: h, endpoint: w.to.endpoint}
		h.lines[l.endpoint] = l
		h.add(l)
	}
	l.line = append(l.line, w)
	l.waiting++
}

// take removes and returns somebody who fits; nil if nobody does. roomy tells whether anything for a host can fit.
func (ws *waiters) take(roomy func(host string) bool, fits func(*waiter) bool) *waiter {
	for range len(ws.elems) {
		h := ws.turn()
		if !roomy(h.name) {
			continue
		}
		for range len(h.elems) {
			w := h.turn().first()
			if fits(w) {
				ws.remove(w)
				return w
			}
		}
	}
	return nil
}

// first is who came first of those who still wait. There is somebody: an empty line is dropped.
func (l *waiterLine) first() *waiter {
	for l.line[0].gone {
		l.line[0] = nil
		l.line = l.line[1:]
	}
	return l.line[0]
}

// remove reports whether w was still waiting.
func (ws *waiters) remove(w *waiter) bool {
	if w.gone {
		return false
	}
	w.gone = true
	h := ws.hosts[w.to.host]
	l := h.lines[w.to.endpoint]
	if l.waiting--; l.waiting > 0 {
		return true
	}
	delete(h.lines, l.endpoint)
	if h.drop(l); h.empty() {
		delete(ws.hosts, h.name)
		ws.drop(h)
	}
	return true
}

func (ws *waiters) removeAll() (all []*waiter) {
	for _, h := range ws.elems {
		for _, l := range h.elems {
			for _, w := range l.line {
				if w != nil && !w.gone {
					w.gone = true
					all = append(all, w)
				}
			}
		}
	}
	*ws = waiters{}
	return all
}
