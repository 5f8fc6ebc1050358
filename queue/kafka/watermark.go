package kafka

// A watermark is how far a partition is finished: every offset before base is, and beyond it those in done.
//
// What is committed is base, so that nothing unfinished is ever passed over; done goes with it as the commit's metadata.
type watermark struct {
	base int64 // the lowest that is not finished; -1: nothing is known yet
	next int64 // the lowest that was not fetched yet
	done spans // all beyond base
}

// start begins at an offset, with those that are finished beyond it.
func (w *watermark) start(base int64, done spans) {
	*w = watermark{base: base, next: base, done: done}
	w.settle()
}

// fetch notes that offset o has come, which is next or beyond it. What was left out before it does not exist.
func (w *watermark) fetch(o int64) {
	if w.base < 0 {
		w.base, w.next = o, o
	}
	if o > w.next {
		w.finish(w.next, o)
	}
	w.next = o + 1
}

// finish notes that the offsets from one to before another are finished, fetched or not.
func (w *watermark) finish(from, to int64) {
	w.done.add(max(from, w.base), to)
	w.settle()
}

func (w *watermark) settle() {
	if len(w.done) > 0 && w.done[0].from <= w.base {
		w.base = max(w.base, w.done[0].to)
		w.done = w.done[1:]
	}
}

func (w *watermark) finished(o int64) bool { return o < w.base || w.done.has(o) }

// size is how many offsets were fetched from the lowest unfinished one on.
func (w *watermark) size() int64 { return max(0, w.next-w.base) }

// unfinished is how many of those that were fetched are not finished.
func (w *watermark) unfinished() int64 {
	n := w.size()
	for _, s := range w.done {
		if s.from >= w.next {
			break
		}
		n -= min(s.to, w.next) - s.from
	}
	return n
}

// rewind goes back to an offset before next: what was from there on is not there any more.
func (w *watermark) rewind(o int64) {
	w.base, w.next = min(w.base, o), min(w.next, o)
	i := w.done.find(o)
	if i < len(w.done) && w.done[i].from < o {
		w.done[i].to = o
		i++
	}
	w.done = w.done[:i]
}

// covers reports whether everything is finished that is so according to a commit.
func (w *watermark) covers(base int64, done spans) bool {
	if base > w.base {
		return false
	}
	for _, s := range done {
		if s.to <= w.base {
			continue
		}
		i := w.done.find(max(s.from, w.base))
		if i == len(w.done) || w.done[i].from > max(s.from, w.base) || w.done[i].to < s.to {
			return false
		}
	}
	return true
}
