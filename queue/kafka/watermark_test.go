package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWatermark compares a watermark with a set of offsets, whatever is fetched and finished in whatever order.
func TestWatermark(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		start := random.Int64N(100)
		var w watermark
		w.start(start, nil)
		finished := map[int64]bool{}
		next := start
		for range 400 {
			switch random.IntN(4) {
			case 0, 1: // fetch, now and then with a gap
				o := next
				if random.IntN(10) == 0 {
					o += random.Int64N(5)
				}
				for ; next < o; next++ {
					finished[next] = true
				}
				next = o + 1
				w.fetch(o)
			case 2: // one that was fetched, again perhaps
				if next > start {
					o := start + random.Int64N(next-start)
					finished[o] = true
					w.finish(o, o+1)
				}
			case 3: // one that is ahead, as copies are
				if random.IntN(5) == 0 {
					o := next + random.Int64N(30)
					finished[o] = true
					w.finish(o, o+1)
				}
			}
			base := start
			for finished[base] {
				base++
			}
			require.Equal(t, base, w.base, "seed %d: the lowest unfinished", seed)
			for o := start; o < next+40; o++ {
				require.Equal(t, finished[o], w.finished(o), "seed %d: offset %d", seed, o)
			}
			require.True(t, len(w.done) == 0 || w.done[0].from > w.base, "seed %d", seed)
			for i := 1; i < len(w.done); i++ {
				require.Less(t, w.done[i-1].to, w.done[i].from, "seed %d: spans that touch are one", seed)
			}
			done, err := decodeDone(w.base, encodeDone(w.base, w.done))
			require.NoError(t, err)
			var again watermark
			again.start(w.base, done)
			require.Equal(t, w.base, again.base)
			require.Equal(t, append(spans{}, w.done...), append(spans{}, again.done...))
			unfinished := int64(0)
			for o := w.base; o < w.next; o++ {
				if !finished[o] {
					unfinished++
				}
			}
			require.Equal(t, unfinished, w.unfinished(), "seed %d", seed)
			require.True(t, w.covers(again.base, again.done), "a commit of its own")
			if o := w.base + 1 + random.Int64N(20); !finished[o] {
				again.finish(o, o+1)
				require.False(t, w.covers(again.base, again.done), "seed %d: somebody else has finished %d", seed, o)
			}
		}
	}
}

// Before anything is known of a partition, its first message is where it begins.
func TestWatermarkWithoutACommit(t *testing.T) {
	w := watermark{base: -1}
	w.fetch(17)
	require.Equal(t, int64(17), w.base)
	require.Equal(t, int64(1), w.size())
	w.finish(17, 18)
	require.Equal(t, int64(18), w.base)
	require.Zero(t, w.size())
}
