package memqueue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// model is a holding queue as one would write it without a thought for cost.
type model struct {
	waiting []*entry
	holds   map[string]time.Time
}

// next returns the message that comes first, and when it may: rank by rank as lines have it.
func (m *model) next() (first *entry, at time.Time) {
	for _, e := range m.waiting {
		t := e.due
		for _, key := range []string{e.host, e.endpoint} {
			if u := m.holds[key]; u.After(t) {
				t = u
			}
		}
		if first == nil || t.Before(at) {
			first, at = e, t
		}
	}
	return first, at
}

func TestLinesAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_700_000_000, 0)
		l, m := newLines(), &model{holds: map[string]time.Time{}}
		for i := range 3000 {
			now = now.Add(time.Duration(r.IntN(1000)))
			url := fmt.Sprintf("http://h%d.example/%d", r.IntN(5), r.IntN(3))
			later := now.Add(time.Duration(r.IntN(20_000)))
			switch n := r.IntN(10); {
			case n < 5:
				e := newEntry(&signpost.Message{URL: url})
				e.due, e.put = later, uint64(i)
				l.push(e)
				m.waiting = append(m.waiting, e)
			case n < 7:
				e := newEntry(&signpost.Message{URL: url})
				key := []string{e.host, e.endpoint}[r.IntN(2)]
				if r.IntN(4) == 0 {
					later = time.Time{}
				}
				l.hold(key, later, now)
				m.holds[key] = later
			}
			require.Equal(t, len(m.waiting), l.n)
			_, at := m.next()
			if l.n == 0 || at.After(now) {
				if l.n > 0 {
					require.True(t, l.first().After(now), "it is held, or not due")
				}
				continue
			}
			require.False(t, l.first().After(now), "it may come")
			e := l.pop()
			for i, x := range m.waiting {
				if x == e {
					m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
					break
				}
			}
			for _, x := range m.waiting {
				require.False(t, x.endpoint == e.endpoint && x.due.Before(e.due), "of an endpoint what is due earlier comes earlier")
			}
			for _, key := range []string{e.host, e.endpoint} {
				require.False(t, m.holds[key].After(now), "it is held")
			}
		}
		assert.Len(t, l.endpoints, countEndpoints(m.waiting), "a line without messages")
	}
}

func countEndpoints(entries []*entry) int {
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.endpoint] = true
	}
	return len(seen)
}

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewHolding()
		const n = 100_000
		held := make([]*signpost.Message, n)
		for i := range held {
			held[i] = &signpost.Message{ID: fmt.Sprint(i), URL: fmt.Sprintf("http://held.example/%d", i%1000)}
		}
		require.NoError(t, q.Enqueue(t.Context(), held...))
		begin := time.Now()
		for i := range 100 {
			q.Hold("held.example:80", begin.Add(time.Hour))
			require.NoError(t, q.Enqueue(t.Context(), &signpost.Message{ID: fmt.Sprint("other", i), URL: "http://other.example/"}))
			l := receive(t, q.Queue)
			assert.Equal(t, fmt.Sprint("other", i), l.Message().ID)
			require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
		}
		require.Equal(t, "0", receive(t, q.Queue).Message().ID)
		assert.Equal(t, time.Hour, time.Since(begin))

		q.Hold("held.example:80", time.Now().Add(time.Hour))
		next := q.Reopen()
		assert.NotPanics(t, func() { q.Hold("held.example:80", time.Time{}) })
		assert.Equal(t, n, next.Len())
		receive(t, next.Queue)
		assert.Equal(t, time.Hour, time.Since(begin), "what is reopened holds nothing back")
	})
}

// Holds whose time is over are dropped some time.
func TestHoldsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewHolding()
		for i := range 100_000 {
			q.Hold(fmt.Sprintf("h%d.example:80", i), time.Now().Add(time.Second))
			time.Sleep(time.Second)
		}
		assert.Less(t, len(q.waiting.holds), 100)
	})
}
