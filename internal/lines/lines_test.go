package lines

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A value is one that waits.
type value struct {
	host, endpoint string
	due            time.Time
}

// model is Lines as one would write them without a thought for cost.
type model struct {
	waiting []*value
	holds   map[string]time.Time
}

// next returns when the first value may come.
func (m *model) next() (at time.Time) {
	for i, v := range m.waiting {
		t := v.due
		for _, key := range []string{v.host, v.endpoint} {
			if u := m.holds[key]; u.After(t) {
				t = u
			}
		}
		if i == 0 || t.Before(at) {
			at = t
		}
	}
	return at
}

func TestLinesAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_700_000_000, 0)
		l, m := New[*value](), &model{holds: map[string]time.Time{}}
		for range 3000 {
			now = now.Add(time.Duration(r.IntN(1000)))
			host := fmt.Sprintf("h%d.example:80", r.IntN(5))
			v := &value{host, fmt.Sprintf("http://%s/%d", host, r.IntN(3)), now.Add(time.Duration(r.IntN(20_000)))}
			switch n := r.IntN(100); {
			case n < 50:
				l.Push(v, v.host, v.endpoint, v.due)
				m.waiting = append(m.waiting, v)
			case n < 70:
				key, until := []string{v.host, v.endpoint}[r.IntN(2)], v.due
				if r.IntN(4) == 0 {
					until = time.Time{}
				}
				l.Hold(key, until, now)
				m.holds[key] = until
			case n == 70:
				l.Clear()
				m.waiting = nil
			}
			held := m.holds[v.host]
			if u := m.holds[v.endpoint]; u.After(held) {
				held = u
			}
			if !held.After(now) {
				held = time.Time{}
			}
			require.Equal(t, held, l.HeldUntil(v.host, v.endpoint, now))
			require.Equal(t, len(m.waiting), l.Len())
			if l.Len() == 0 {
				continue
			}
			at := m.next()
			require.Equal(t, at.After(now), l.First().After(now))
			if at.After(now) {
				continue
			}
			popped := l.Pop()
			for i, x := range m.waiting {
				if x == popped {
					m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
					break
				}
			}
			for _, x := range m.waiting {
				require.False(t, x.endpoint == popped.endpoint && x.due.Before(popped.due), "of an endpoint what is due earlier comes earlier")
			}
			for _, key := range []string{popped.host, popped.endpoint} {
				require.False(t, m.holds[key].After(now), "it is held")
			}
		}
		assert.Len(t, l.endpoints, countEndpoints(m.waiting), "a line without values")
		var all []*value
		for v := range l.All {
			all = append(all, v)
		}
		assert.ElementsMatch(t, m.waiting, all)
	}
}

func countEndpoints(values []*value) int {
	seen := map[string]bool{}
	for _, v := range values {
		seen[v.endpoint] = true
	}
	return len(seen)
}

// Holds whose time is over are dropped some time.
func TestHoldsAreForgotten(t *testing.T) {
	l, now := New[int](), time.Unix(1_700_000_000, 0)
	for i := range 100_000 {
		l.Hold(fmt.Sprintf("h%d.example:80", i), now.Add(time.Second), now)
		now = now.Add(time.Second)
	}
	assert.Less(t, len(l.holds), 100)
}
