package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A pair drives a Schedule and the model with the same operations and compares every answer.
type pair struct {
	t     require.TestingT
	s     *Schedule
	m     *model
	now   time.Time
	ids   int
	out   map[int]bool  // in flight, not reported
	done  map[int]bool  // in flight, reported
	items map[int]*Item // all that are in the schedule
	model map[int]*modelItem
	held  map[string]time.Time // what was said of holds, by key
	full  map[string]time.Time // when somebody was last refused for want of room
}

func newPair(t require.TestingT, c Config) *pair {
	start := time.Unix(1_700_000_000, 0)
	return &pair{
		t: t, s: New(c, start), m: &model{config: c, start: start}, now: start,
		out: map[int]bool{}, done: map[int]bool{}, items: map[int]*Item{}, model: map[int]*modelItem{},
		held: map[string]time.Time{}, full: map[string]time.Time{},
	}
}

func (p *pair) add(host, endpoint string, size int64, at, deadline time.Time) {
	endpoint = host + endpoint
	p.m.advance(p.now)
	p.s.advance(p.now)
	room := p.s.Room(host, endpoint, size)
	require.Equal(p.t, p.m.room(host, endpoint, size), room, "room")
	_, blocked := p.s.Blocked(p.now, host, endpoint)
	if p.s.config.Holds && (!room || blocked && p.ids%2 == 0) {
		p.refuse(host, endpoint, blocked)
		return
	}
	if !room {
		return
	}
	p.ids++
	it, mi := &Item{Value: p.ids}, &modelItem{id: p.ids, size: size, at: at, deadline: deadline}
	p.items[p.ids], p.model[p.ids] = it, mi
	p.s.Add(p.now, it, Arrival{Host: host, Endpoint: endpoint, Size: size, At: at, Deadline: deadline})
	p.m.add(p.now, mi, host, endpoint)
	c, before := p.s.config, p.s.Counts().Held()-1
	free := c.Messages - before
	mustHold(p.t, free > 0 && p.s.hosts[host].held-1 < max(1, 4*free), "a host beyond its share")
	mustHold(p.t, p.s.endpoints[endpoint].held-1 < max(1, 2*free), "an endpoint beyond its share")
}

func (p *pair) next() bool {
	it, want := p.s.Next(p.now), p.m.next(p.now)
	if want == nil {
		require.Nil(p.t, it, "a turn that nobody may have")
		return false
	}
	require.NotNil(p.t, it, "item %d is left out of turn", want.id)
	id := it.Value.(int)
	require.Equal(p.t, want.id, id, "whose turn it is")
	require.False(p.t, p.out[id] || p.done[id], "item %d is handed out twice", id)
	e := it.endpoint
	h := e.host
	second := h.inFlight == 2 && h.window == 1 && h.turns.suspects <= 1 && e.inFlight == 1 && h.probe == 0
	mustHold(p.t, (h.inFlight <= h.window || second) && h.inFlight <= p.s.config.Window && e.inFlight <= e.window, "a turn beyond a window")
	mustHold(p.t, !h.suspect || p.s.order.suspects <= p.s.half(), "failing hosts hold more than half of the workers")
	mustHold(p.t, !e.suspect || h.turns.suspects <= h.half(), "failing endpoints hold more than half of their host's window")
	p.out[id] = true
	return true
}

func (p *pair) report(id int, r Result) {
	p.s.Report(p.now, p.items[id], r)
	p.m.report(p.now, p.model[id], r)
	delete(p.out, id)
	p.done[id] = true
}

func (p *pair) retry(id int, at time.Time) {
	p.s.Retry(p.now, p.items[id], at)
	p.m.retry(p.now, p.model[id], at)
	delete(p.done, id)
}

func (p *pair) remove(id int) {
	p.s.Remove(p.now, p.items[id])
	p.m.remove(p.now, p.model[id])
	p.drop(id)
}

func (p *pair) drop(id int) {
	delete(p.done, id)
	delete(p.out, id)
	delete(p.items, id)
	delete(p.model, id)
}

func (p *pair) expire() {
	for it := p.s.TakeExpired(p.now); it != nil; it = p.s.TakeExpired(p.now) {
		id := it.Value.(int)
		require.Equal(p.t, expired, p.model[id].state, "item %d expires too early", id)
		p.remove(id)
	}
	p.m.advance(p.now)
	require.Empty(p.t, p.m.over, "not expired in time")
}

func (p *pair) take(host, endpoint string) {
	want := map[int]bool{}
	p.m.advance(p.now)
	for id, it := range p.model {
		if it.endpoint.key == host+endpoint && (it.state == due || it.state == waiting) {
			want[id] = true
		}
	}
	got := map[int]bool{}
	for _, it := range p.s.TakeEndpoint(p.now, host+endpoint) {
		id := it.Value.(int)
		got[id] = true
		p.model[id].state = taken
	}
	p.check() // what is taken keeps its room
	for id := range got {
		p.remove(id)
	}
	require.Equal(p.t, want, got, "what waits for an endpoint")
}

// check compares what can be seen of both, and looks into the Schedule for what must always hold.
func (p *pair) check() {
	t, s, m := p.t, p.s, p.m
	s.advance(p.now)
	m.advance(p.now)
	same(t, Counts{m.count(due) + m.count(expired) + m.count(taken), m.count(waiting), m.count(inFlight)}, s.Counts())
	same(t, len(p.items), s.Counts().Held(), "a message is lost, or one too many")
	var bytes int64
	endpoints := 0
	for _, mh := range m.hosts {
		h := s.hosts[mh.key]
		mustHold(t, h != nil, "host %s is forgotten too early", mh.key)
		same(t, mh.window, h.window, "window of %s", mh.key)
		same(t, mh.failures, h.failures, "failures of %s", mh.key)
		same(t, mh.count(inFlight), h.inFlight)
		same(t, mh.isFailing(), h.suspect)
		same(t, len(mh.endpoints), h.endpoints)
		suspects := 0
		for _, me := range mh.endpoints {
			endpoints++
			e := s.endpoints[me.key]
			mustHold(t, e != nil, "endpoint %s is forgotten too early", me.key)
			same(t, me.window, e.window, "window of %s", me.key)
			same(t, me.failures, e.failures, "failures of %s", me.key)
			same(t, me.isFailing(), e.suspect)
			same(t, me.count(inFlight), e.inFlight)
			if e.suspect {
				suspects += e.inFlight
			}
			for _, it := range me.items {
				bytes += it.size
				same(t, it.state, p.items[it.id].state, "state of item %d", it.id)
			}
			until, blocked := s.Blocked(p.now, mh.key, me.key)
			same(t, mh.heldBack(p.now, mh.held()-mh.count(taken)) || me.heldBack(p.now, len(me.items)-me.count(taken)), blocked)
			same(t, blocked, until.After(p.now))
		}
		same(t, suspects, h.turns.suspects)
	}
	same(t, bytes, s.Bytes())
	same(t, endpoints, len(s.endpoints), "an endpoint is remembered for too long")
	same(t, len(m.hosts), s.Hosts(), "a host is remembered for too long")
	p.checkHolds()
	checkHeap(t, &s.items)
	checkHeap(t, &s.timers)
	checkHeap(t, &s.order.sound)
	checkHeap(t, &s.order.failing)
}

func checkHeap[E placed](t require.TestingT, h *heap[E]) {
	for i, x := range h.s {
		same(t, int32(i), x.elem.place())
		if i > 0 {
			mustHold(t, h.s[(i-1)/4].key <= x.key, "a heap is out of order")
		}
	}
}

// same and mustHold are require.Equal and require.True without their cost, which counts when they are called
// millions of times.
func same[T comparable](t require.TestingT, want, got T, msg ...any) {
	if want != got {
		require.Equal(t, want, got, msg...)
	}
}

func mustHold(t require.TestingT, ok bool, msg string, args ...any) {
	if !ok {
		require.Fail(t, fmt.Sprintf(msg, args...))
	}
}

// step does one random operation.
func (p *pair) step(r *rand.Rand, hosts, endpoints int) {
	soon := func(d time.Duration) time.Time { return p.now.Add(1 + time.Duration(r.Int64N(int64(d)))) }
	host := fmt.Sprintf("h%d", r.IntN(hosts))
	endpoint := fmt.Sprintf("/%d", r.IntN(endpoints))
	switch n := r.IntN(100); {
	case n < 30:
		at := p.now
		if r.IntN(4) == 0 {
			at = soon(20 * time.Second)
		}
		deadline := soon(time.Hour)
		if r.IntN(10) == 0 {
			deadline = soon(10 * time.Second)
		}
		p.add(host, endpoint, r.Int64N(2000), at, deadline)
	case n < 60:
		p.next()
	case n < 75:
		if id, ok := pick(r, p.out); ok {
			p.report(id, randomResult(r, p.model[id].host.key, soon))
		}
	case n < 88:
		if id, ok := pick(r, p.done); ok {
			if r.IntN(3) == 0 {
				p.retry(id, soon(30*time.Second))
			} else {
				p.remove(id)
			}
		}
	case n < 90:
		p.expire()
	case n < 91:
		p.take(host, endpoint)
	case n < 92: // nobody may have a turn: then until Wake nobody may, and there is a Wake if the model knows of one
		for p.next() {
		}
		p.expire()
		wake := p.s.Wake()
		if want := p.m.wakes(p.now); want.Before(never) {
			require.False(p.t, wake.IsZero(), "nothing would wake it")
			require.False(p.t, wake.After(want), "it would wake %v too late", wake.Sub(want))
		}
		if !wake.IsZero() {
			require.True(p.t, wake.After(p.now), "it would spin")
			p.now = p.now.Add(wake.Sub(p.now) / 2)
			require.Nil(p.t, p.s.Next(p.now), "a turn before Wake")
			p.now = wake.Add(10) // the limiter's floats round to either side of a nanosecond
		}
	case n < 99:
		p.now = soon(200 * time.Millisecond)
	default:
		p.now = soon(5 * time.Minute)
	}
}

// randomResult makes some hosts better than others.
func randomResult(r *rand.Rand, host string, soon func(time.Duration) time.Time) Result {
	bad := int(host[1]-'0') * 12
	if r.IntN(100) >= bad {
		return Result{Endpoint: Success, Host: Success}
	}
	res := Result{Endpoint: Failure, Host: Evidence(r.IntN(4)), Throttle: r.IntN(2) == 0}
	if r.IntN(150) < bad {
		res.Host = Failure // the worst open their breakers
	}
	switch r.IntN(12) {
	case 0:
		res.Endpoint = []Evidence{Nothing, Untried}[r.IntN(2)]
	case 1:
		res.PauseUntil = soon(20 * time.Second)
	}
	return res
}

func pick(r *rand.Rand, set map[int]bool) (int, bool) {
	if len(set) == 0 {
		return 0, false
	}
	least, n := 0, r.IntN(len(set))
	for id := range set { // the n-th smallest, whatever the map's order
		smaller := 0
		for x := range set {
			if x < id {
				smaller++
			}
		}
		if smaller == n {
			least = id
		}
	}
	return least, true
}

// refuse holds back what was refused.
func (p *pair) refuse(host, endpoint string, blocked bool) {
	p.ids++
	until, _ := p.s.HoldBack(p.now, host, endpoint)
	mustHold(p.t, !until.Before(p.now), "it comes again in the past")
	if !blocked {
		p.full[host], p.full[endpoint] = p.now, p.now
		return
	}
	p.checkHolds()
	mustHold(p.t, p.held[host].After(p.now) || p.held[endpoint].After(p.now), "nobody is held back")
	mustHold(p.t, until.After(p.now), "it is blocked, and comes at once")
}

// checkHolds makes sure that nobody is held back for longer than there is a reason, and everybody who is blocked.
func (p *pair) checkHolds() {
	for h, ok := p.s.TakeHold(); ok; h, ok = p.s.TakeHold() {
		mustHold(p.t, p.s.config.Holds, "a hold that nobody wants")
		p.held[h.Key] = h.Until
	}
	reason := map[string]time.Time{}
	note := func(key string, g *modelGate, held int) {
		reason[key] = slices.MaxFunc([]time.Time{g.closed, g.paused}, time.Time.Compare)
		mustHold(p.t, !p.s.config.Holds || !g.blocked(p.now) || !p.held[key].Before(reason[key]), "%s is blocked and not held back", key)
		if probe := p.now.Add(g.probe); g.failures >= 5 && held > 0 && probe.After(reason[key]) {
			reason[key] = probe
		}
	}
	for _, h := range p.m.hosts {
		note(h.key, &h.modelGate, h.held())
		for _, e := range h.endpoints {
			note(e.key, &e.modelGate, len(e.items))
		}
	}
	for key, until := range p.held {
		full := p.full[key].Add(time.Second)
		mustHold(p.t, !until.After(p.now) || !until.After(reason[key]) || !until.After(full),
			"%s is held back %v too long", key, until.Sub(reason[key]))
	}
}

func TestScheduleAgainstModel(t *testing.T) {
	for _, c := range []struct {
		name             string
		config           Config
		hosts, endpoints int
	}{
		{"few workers", Config{Workers: 3, Window: 8, Messages: 40, Bytes: 30_000, Limit: 20, Burst: 5}, 6, 3},
		{"many workers", Config{Workers: 50, Window: 16, Messages: 60, Bytes: 1 << 40, Limit: 1000, Burst: 1000}, 8, 2},
		{"one host", Config{Workers: 20, Window: 12, Messages: 60, Bytes: 1 << 40, Limit: 50, Burst: 20}, 1, 9},
		{"one worker", Config{Workers: 1, Window: 1, Messages: 15, Bytes: 10_000, Limit: 5, Burst: 1}, 4, 2},
		{"many endpoints", Config{Workers: 12, Window: 32, Messages: 80, Bytes: 1 << 40, Limit: 200, Burst: 50}, 8, 8},
		{"holds", Config{Workers: 20, Window: 8, Messages: 60, Bytes: 60_000, Limit: 200, Burst: 50, Holds: true}, 8, 3},
		{"holds of many endpoints", Config{Workers: 5, Window: 8, Messages: 40, Bytes: 1 << 40, Limit: 50, Burst: 20, Holds: true}, 9, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(5) {
				r := rand.New(rand.NewPCG(seed, 1))
				p := newPair(t, c.config)
				for range 2500 { // 87,500 in all
					p.step(r, c.hosts, c.endpoints)
					p.check()
				}
			}
		})
	}
}

func FuzzSchedule(f *testing.F) {
	f.Add(uint64(1), uint8(4), uint8(8), uint8(3))
	f.Add(uint64(2), uint8(1), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, workers, window, hosts uint8) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := newPair(t, Config{
			Workers: int(workers%32) + 1, Window: int(window%16) + 1, Messages: 30, Bytes: 30_000, Limit: 20, Burst: 10,
			Holds: seed%2 == 0,
		})
		for range 300 {
			p.step(r, int(hosts%8)+1, 3)
			p.check()
		}
	})
}

func add(s *Schedule, now time.Time, host, endpoint string, n int) {
	for range n {
		s.Add(now, &Item{Value: host + endpoint}, Arrival{
			Host: host, Endpoint: host + endpoint, Size: 1, At: now, Deadline: now.Add(24 * time.Hour),
		})
	}
}
