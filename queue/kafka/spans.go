package kafka

import "slices"

// A span are the offsets from one to before another.
type span struct{ from, to int64 }

// spans are a set of offsets, as few spans as it takes: in order, none empty, none touching the next.
type spans []span

// find returns the index of the first span that ends after o.
func (s spans) find(o int64) int {
	i, _ := slices.BinarySearchFunc(s, o, func(x span, o int64) int {
		if x.to <= o {
			return -1
		}
		return 1
	})
	return i
}

func (s spans) has(o int64) bool {
	i := s.find(o)
	return i < len(s) && s[i].from <= o
}

// add adds the offsets from one to before another.
func (s *spans) add(from, to int64) {
	if from >= to {
		return
	}
	all := *s
	first := all.find(from)
	if first > 0 && all[first-1].to == from {
		first--
	}
	end := first // of those that x swallows
	x := span{from, to}
	for end < len(all) && all[end].from <= to {
		x.from, x.to = min(x.from, all[end].from), max(x.to, all[end].to)
		end++
	}
	*s = slices.Replace(all, first, end, x)
}
