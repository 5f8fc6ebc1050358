package signpost

import "slices"

// A waiter is a Send that waits for room in the queue.
type waiter struct {
	delivery *delivery
	to       *destination
	done     chan struct{} // closed when it is admitted or refused
	err      error         // written before done is closed
	gone     bool          // not among the waiters any more
}

// waiters are those that wait for room, in a line for every endpoint: one look tells whether anybody in it
// can be let in. The zero value is empty. Their owner's lock protects them.
type waiters struct {
	lines []*waiterLine
	next  int // the line to look at first, so that every endpoint has its turn
}

type waiterLine struct {
	endpoint string
	line     []*waiter
}

func (ws *waiters) empty() bool { return len(ws.lines) == 0 }

func (ws *waiters) push(w *waiter) {
	i := slices.IndexFunc(ws.lines, func(l *waiterLine) bool { return l.endpoint == w.to.endpoint })
	if i < 0 {
		i = len(ws.lines)
		ws.lines = append(ws.lines, &waiterLine{endpoint: w.to.endpoint})
	}
	ws.lines[i].line = append(ws.lines[i].line, w)
}

// take removes and returns the first of a line who fits; nil if nobody does.
func (ws *waiters) take(fits func(*waiter) bool) *waiter {
	for range len(ws.lines) {
		i := ws.next % len(ws.lines)
		w := ws.lines[i].line[0]
		if fits(w) {
			ws.next = i + 1
			ws.remove(w)
			return w
		}
		ws.next = i + 1
	}
	return nil
}

// remove reports whether w was still waiting.
func (ws *waiters) remove(w *waiter) bool {
	if w.gone {
		return false
	}
	w.gone = true
	i := slices.IndexFunc(ws.lines, func(l *waiterLine) bool { return l.endpoint == w.to.endpoint })
	l := ws.lines[i]
	l.line = slices.DeleteFunc(l.line, func(x *waiter) bool { return x == w })
	if len(l.line) == 0 {
		ws.lines = slices.Delete(ws.lines, i, i+1)
	}
	return true
}

func (ws *waiters) removeAll() (all []*waiter) {
	for _, l := range ws.lines {
		for _, w := range l.line {
			w.gone = true
			all = append(all, w)
		}
	}
	ws.lines = nil
	return all
}
