package schedule

// A heap is a 4-ary min-heap that tells each element where it stands, so that any element can be moved
// or removed in O(log n). Keys are kept beside the elements: a comparison touches no element, and the
// four children of a node share a cache line, which is what makes a heap of a million cost little more
// than a heap of a thousand.
type heap[E placed] struct{ s []slot[E] }

type slot[E placed] struct {
	key  int64
	elem E
}

// placed is what a heap's elements implement. The place of an element that is in no heap is nowhere.
type placed interface {
	place() int32
	setPlace(int32)
}

const nowhere = -1

func (h *heap[E]) len() int { return len(h.s) }

// min requires that the heap is not empty.
func (h *heap[E]) min() (int64, E) { return h.s[0].key, h.s[0].elem }

// set puts e into the heap, or moves it if it is there already.
func (h *heap[E]) set(e E, key int64) {
	i := int(e.place())
	if i == nowhere {
		i = len(h.s)
		h.s = append(h.s, slot[E]{})
	} else if h.s[i].key == key {
		return
	}
	h.fix(i, slot[E]{key, e})
}

// remove takes e out. It does nothing if e is not in the heap.
func (h *heap[E]) remove(e E) {
	i := int(e.place())
	if i == nowhere {
		return
	}
	e.setPlace(nowhere)
	n := len(h.s) - 1
	last := h.s[n]
	h.s[n] = slot[E]{}
	h.s = h.s[:n]
	if i < n {
		h.fix(i, last)
	}
	if c := cap(h.s); c > 64 && n < c/4 { // memory follows what is in use
		h.s = append(make([]slot[E], 0, c/2), h.s...)
	}
}

// fix finds x its place, starting from the free place i.
func (h *heap[E]) fix(i int, x slot[E]) {
	s := h.s
	for i > 0 {
		up := (i - 1) / 4
		if s[up].key <= x.key {
			break
		}
		s[i] = s[up]
		s[i].elem.setPlace(int32(i))
		i = up
	}
	for {
		first := 4*i + 1
		if first >= len(s) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(s)); c++ {
			if s[c].key < s[least].key {
				least = c
			}
		}
		if s[least].key >= x.key {
			break
		}
		s[i] = s[least]
		s[i].elem.setPlace(int32(i))
		i = least
	}
	s[i] = x
	x.elem.setPlace(int32(i))
}
