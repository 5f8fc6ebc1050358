package sqlite

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Of hosts and endpoints that always have something to give each has the same share, however long the lines are.
func TestLinesGiveInTurn(t *testing.T) {
	w := newWorld(t, func(n int) int { return n - 1 })
	given := map[string]int{}
	number := int64(0)
	for h := range 5 {
		for e := range 1 + h {
			endpoint := fmt.Sprintf("h%d/%d", h, e)
			for range 1000 * (1 + e) {
				number++
				m := &msg{position: position{w.now, number}, host: endpoint[:2], endpoint: endpoint, pending: true, size: 1000}
				w.msgs = append(w.msgs, m)
				w.put(m, true)
			}
		}
	}
	for range 5 * 5 * 4 * 3 * 4 { // each endpoint of each host has whole turns
		l := w.lines.turn(w.now)
		if !w.lines.mustLoad(l, w.now) {
			w.lines.lease(l, w.now)
		} else {
			ld := &slowLoad{load: w.lines.startLoad(l, readAhead, w.now)}
			w.read(ld)
			require.NotNil(t, w.lines.endLoad(ld.load, *ld.got, w.now), "a turn gives a message, loaded or not")
		}
		given[l.host.key]++
		given[l.key]++
	}
	for h := range 5 {
		assert.Equal(t, 240, given[fmt.Sprint("h", h)])
		for e := range 1 + h {
			assert.Equal(t, 240/(1+h), given[fmt.Sprintf("h%d/%d", h, e)])
		}
	}
}

// A line that doesn't give, or doesn't give fast enough, keeps little in memory, however small its messages are.
func TestLinesBoundMemory(t *testing.T) {
	put := func(w *world, host, endpoint string, n, size int) {
		for range n {
			m := &msg{position: position{w.now, int64(len(w.msgs) + 1)}, host: host, endpoint: endpoint, pending: true, size: size}
			w.msgs = append(w.msgs, m)
			w.put(m, true)
		}
	}
	t.Run("held host", func(t *testing.T) {
		w := newWorld(t, nil)
		w.lines.hold("h0", w.now+10, w.now)
		put(w, "h0", "h0/0", 1000, entryOverhead)
		assert.Zero(t, w.lines.buffered)
	})
	t.Run("held endpoint", func(t *testing.T) {
		w := newWorld(t, nil)
		w.lines.hold("h0/0", w.now+10, w.now)
		put(w, "h0", "h0/0", 1000, entryOverhead)
		assert.Zero(t, w.lines.buffered)
	})
	t.Run("one line", func(t *testing.T) {
		w := newWorld(t, nil)
		put(w, "h0", "h0/0", 1000, entryOverhead)
		assert.Equal(t, maxOffered*entryOverhead, w.lines.buffered)
	})
	t.Run("many lines", func(t *testing.T) {
		w := newWorld(t, nil)
		for i := range 1000 {
			put(w, "h0", fmt.Sprint("h0/", i), 100, entryOverhead+10000)
		}
		assert.LessOrEqual(t, w.lines.buffered, maxBuffered)
		w.lines.hold("h0", w.now+10, w.now)
		assert.Zero(t, w.lines.buffered, "there is room for others when its host is held")
		w.lines.hold("h0", 0, w.now)
		assert.NotNil(t, w.lines.turn(w.now), "it gives again")
	})
}

// A hold is replaced by the next one and ends by itself; what is over is forgotten.
func TestLinesHold(t *testing.T) {
	for _, tt := range []struct {
		name  string
		key   string
		until []int64 // from now
		at    int64   // when it gives again
	}{
		{name: "host", key: "h0", until: []int64{10}, at: 10},
		{name: "endpoint", key: "h0/0", until: []int64{10}, at: 10},
		{name: "longer", key: "h0", until: []int64{10, 20}, at: 20},
		{name: "shorter", key: "h0", until: []int64{20, 10}, at: 10},
		{name: "ended", key: "h0/0", until: []int64{20, 0}, at: 0},
		{name: "over already", key: "h0", until: []int64{-5}, at: 0},
		{name: "another host's", key: "h1", until: []int64{10}, at: 0},
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, before: %v", tt.name, before), func(t *testing.T) {
				w := newWorld(t, nil)
				put := func() { w.lines.put(w.lines.line("h0", "h0/0"), position{w.now, 1}, w.now) }
				if before {
					put()
				}
				for _, d := range tt.until {
					w.lines.hold(tt.key, w.now+d, w.now)
				}
				if !before {
					put()
				}
				if tt.at > 0 {
					assert.Nil(t, w.lines.turn(w.now))
					assert.Equal(t, w.now+tt.at, w.lines.wake())
					assert.Nil(t, w.lines.turn(w.now+tt.at-1))
				}
				assert.NotNil(t, w.lines.turn(w.now+tt.at))
			})
		}
	}
	t.Run("memory", func(t *testing.T) {
		s := newLines()
		for i := range int64(100_000) {
			s.hold(fmt.Sprint(i), i+100, i)
		}
		assert.Less(t, len(s.holds), 3000, "only a hundred are not over")
	})
}

// What is read before it is made known is known already, even when its line is being read again by then.
func TestLinesReadBeforeKnown(t *testing.T) {
	w := newWorld(t, func(int) int { return 1 })
	old := &msg{position: position{w.now, 1}, host: "h0", endpoint: "h0/0", pending: true}
	m := &msg{position: position{w.now, 2}, host: "h0", endpoint: "h0/0", pending: true}
	w.msgs = []*msg{old, m} // m is committed, and nobody has been told
	w.put(old, false)
	ld := &slowLoad{load: w.lines.startLoad(w.lines.turn(w.now), 2, w.now)}
	w.read(ld)
	w.lines.end(w.lines.endLoad(ld.load, *ld.got, w.now), w.now)
	e := w.lines.lease(w.lines.turn(w.now), w.now)
	require.Equal(t, m.number, e.number)

	w.lines.put(e.line, position{w.now, 3}, w.now) // and is gone again when it is looked for
	ld = &slowLoad{load: w.lines.startLoad(w.lines.turn(w.now), 2, w.now)}
	w.read(ld)
	w.put(m, true) // now it is known
	m.due = w.now + 100
	w.lines.putBack(e, m.due, w.now)
	assert.Nil(t, w.lines.endLoad(ld.load, *ld.got, w.now))
	assert.Nil(t, w.lines.turn(w.now), "it is not due before %d", m.due)
	assert.Equal(t, m.due, cmp.Or(w.lines.wake(), 0))
}

// What has been read ahead when a hold begins comes in the order of acceptance afterwards, whenever it was due.
func TestLinesSortAtHold(t *testing.T) {
	w := newWorld(t, nil)
	for i, due := range []int64{w.now - 1, w.now - 3, w.now - 2} {
		m := &msg{position: position{due, int64(i + 1)}, host: "h0", endpoint: "h0/0", pending: true}
		w.msgs = append(w.msgs, m)
		w.put(m, false)
	}
	ld := &slowLoad{load: w.lines.startLoad(w.lines.turn(w.now), readAhead, w.now)}
	w.read(ld)
	e := w.lines.endLoad(ld.load, *ld.got, w.now)
	require.Equal(t, int64(2), e.number, "it was due first")
	w.lines.hold("h0/0", w.now+10, w.now)
	for _, number := range []int64{1, 3} {
		assert.Equal(t, number, w.lines.lease(w.lines.turn(w.now+10), w.now+10).number)
	}
}

// While the file can't be read a line gives what it has in memory, even if others come first.
func TestLinesGiveWhatTheyHave(t *testing.T) {
	w := newWorld(t, nil)
	for n := range int64(3) {
		m := &msg{position: position{w.now, n + 1}, host: "h0", endpoint: "h0/0", pending: true}
		w.msgs = append(w.msgs, m)
		w.put(m, true)
	}
	first := w.lines.lease(w.lines.turn(w.now), w.now)
	w.lines.putBack(first, w.now, w.now)
	w.lines.hold("h0/0", w.now+10, w.now)
	w.now += 10
	l := w.lines.turn(w.now)
	require.True(t, w.lines.mustLoad(l, w.now), "the first one is to be read again")
	w.lines.failLoad(w.lines.startLoad(l, readAhead, w.now), w.now+5, w.now)
	require.False(t, w.lines.mustLoad(w.lines.turn(w.now), w.now))
	assert.Equal(t, int64(2), w.lines.lease(l, w.now).number)
	assert.True(t, w.lines.mustLoad(w.lines.turn(w.now+5), w.now+5))
}
