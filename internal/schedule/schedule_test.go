package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
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
}

func newPair(t require.TestingT, c Config) *pair {
	start := time.Unix(1_700_000_000, 0)
	return &pair{
		t: t, s: New(c, start), m: &model{config: c, start: start}, now: start,
		out: map[int]bool{}, done: map[int]bool{}, items: map[int]*Item{}, model: map[int]*modelItem{},
	}
}

func (p *pair) add(host, endpoint string, size int64, at, deadline time.Time) {
	endpoint = host + endpoint
	p.m.advance(p.now)
	p.s.advance(p.now)
	room := p.s.Room(host, endpoint, size)
	require.Equal(p.t, p.m.room(host, endpoint, size), room, "room")
	if !room {
		return
	}
	p.ids++
	it, mi := &Item{Value: p.ids}, &modelItem{id: p.ids, size: size, at: at, deadline: deadline}
	p.items[p.ids], p.model[p.ids] = it, mi
	p.s.Add(p.now, it, Arrival{Host: host, Endpoint: endpoint, Size: size, At: at, Deadline: deadline})
	p.m.add(p.now, mi, host, endpoint)
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
			same(t, mh.heldBack(p.now, mh.held()) || me.heldBack(p.now, len(me.items)), blocked)
			same(t, blocked, until.After(p.now))
		}
		same(t, suspects, h.turns.suspects)
	}
	same(t, bytes, s.Bytes())
	same(t, endpoints, len(s.endpoints), "an endpoint is remembered for too long")
	same(t, len(m.hosts), s.Hosts(), "a host is remembered for too long")
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
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				r := rand.New(rand.NewPCG(seed, 1))
				p := newPair(t, c.config)
				for range 2500 { // 125,000 in all
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
		})
		for range 300 {
			p.step(r, int(hosts%8)+1, 3)
			p.check()
		}
	})
}

var start = time.Unix(1_700_000_000, 0)

func newSchedule(c Config) *Schedule {
	if c.Workers == 0 {
		c.Workers = 64
	}
	if c.Window == 0 {
		c.Window = 32
	}
	if c.Messages == 0 {
		c.Messages = 10_000
	}
	if c.Bytes == 0 {
		c.Bytes = 1 << 30
	}
	if c.Limit == 0 {
		c.Limit = rate.Inf
	}
	return New(c, start)
}

func add(s *Schedule, now time.Time, host, endpoint string, n int) {
	for range n {
		s.Add(now, &Item{Value: host + endpoint}, Arrival{
			Host: host, Endpoint: host + endpoint, Size: 1, At: now, Deadline: now.Add(24 * time.Hour),
		})
	}
}

// turns takes all turns that may be had and tells how many each endpoint got.
func takeTurns(s *Schedule, now time.Time) (items []*Item, got map[string]int) {
	got = map[string]int{}
	for it := s.Next(now); it != nil; it = s.Next(now) {
		items = append(items, it)
		got[it.Value.(string)]++
	}
	return items, got
}

var (
	good = Result{Endpoint: Success, Host: Success}
	hung = Result{Endpoint: Failure, Host: Failure, Throttle: true}
	bad  = Result{Endpoint: Failure, Host: Success} // answers 500
)

func finish(s *Schedule, now time.Time, items []*Item, r Result) {
	for _, it := range items {
		s.Report(now, it, r)
		s.Remove(now, it)
	}
}

func TestFewestInFlightFirst(t *testing.T) {
	s := newSchedule(Config{Workers: 5})
	for _, e := range []string{"/a", "/b", "/c", "/d"} {
		add(s, start, "busy", e, 3)
	}
	for range 3 {
		require.Equal(t, "busy", s.Next(start).endpoint.host.key)
	}
	add(s, start, "calm", "/", 3)
	assert.Equal(t, "calm", s.Next(start).endpoint.host.key, "it has none in flight")
	assert.Equal(t, "busy/d", s.Next(start).Value, "the one endpoint of the host that has none in flight")
	assert.Nil(t, s.Next(start), "all workers are taken")
}

func TestWindowGrowsOnlyWhenFull(t *testing.T) {
	s := newSchedule(Config{Window: 6})
	now := start
	for range 10 { // one at a time never fills the host's window of 4
		add(s, now, "h", "/", 1)
		items, _ := takeTurns(s, now)
		finish(s, now, items, good)
	}
	assert.Equal(t, 4, s.hosts["h"].window)
	add(s, now, "h", "/", 100)
	var widths []int
	for range 8 {
		items, _ := takeTurns(s, now)
		widths = append(widths, len(items))
		finish(s, now, items, good)
	}
	assert.Equal(t, 6, widths[7], "%v", widths)
	assert.IsNonDecreasing(t, widths)
}

func TestWindowIsHalvedOnceARound(t *testing.T) {
	s := newSchedule(Config{Window: 16})
	now := start
	add(s, now, "h", "/", 500)
	for range 30 {
		items, _ := takeTurns(s, now)
		finish(s, now, items, good)
	}
	items, _ := takeTurns(s, now)
	require.Len(t, items, 16)
	finish(s, now, items[:1], hung)
	assert.Equal(t, 8, s.endpoints["h/"].window)
	finish(s, now, items[1:8], good)
	w := s.endpoints["h/"].window
	finish(s, now, items[8:9], hung) // began before the cut
	assert.Equal(t, w, s.endpoints["h/"].window)
}

func TestBreaker(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	add(s, now, "h", "/", 100)
	for i := range 5 {
		items, _ := takeTurns(s, now)
		require.Len(t, items, 1, "failure %d", i)
		finish(s, now, items, bad)
	}
	wait := time.Second
	for range 12 {
		require.Nil(t, s.Next(now.Add(wait-1)), "before %v", wait)
		now = now.Add(wait)
		items, _ := takeTurns(s, now)
		require.Len(t, items, 1, "one probe at %v", wait)
		finish(s, now, items, bad)
		wait = min(2*wait, 5*time.Minute)
	}
	now = now.Add(wait)
	items, _ := takeTurns(s, now)
	finish(s, now, items, good)
	_, blocked := s.Blocked(now, "h", "h/")
	assert.False(t, blocked, "one success closes it")
	assert.NotNil(t, s.Next(now))
}

func TestBreakerIsNotDelayedByWhatWasInFlight(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	add(s, now, "h", "/", 2000)
	for range 40 {
		items, _ := takeTurns(s, now)
		finish(s, now, items, good)
	}
	items, _ := takeTurns(s, now)
	require.Len(t, items, 32)
	finish(s, now, items, hung)
	until, blocked := s.Blocked(now, "h", "h/")
	require.True(t, blocked)
	assert.Equal(t, time.Second, until.Sub(now), "32 failures of one round are one opening")
}

func TestEvidence(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	for i := range 20 {
		add(s, now, "shared", fmt.Sprintf("/%d", i), 10)
	}
	first := s.Next(now) // the hook that hangs
	for range 10 {
		it := s.Next(now)
		finish(s, now, []*Item{it}, Result{Endpoint: Failure, Host: Success}) // a 404 is an answer
	}
	finish(s, now, []*Item{first}, hung)
	assert.Zero(t, s.hosts["shared"].failures, "the host answers others")
	assert.Equal(t, 1, s.endpoints["shared/0"].failures)

	alone := s.Next(now)
	finish(s, now, []*Item{alone}, hung)
	assert.Equal(t, 1, s.hosts["shared"].failures, "nothing has answered since it began")
}

func TestARetryTakesItsPlaceByItsArrival(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	for i := range 3 {
		s.Add(now, &Item{Value: i}, Arrival{Host: "h", Endpoint: "h/", At: now, Deadline: now.Add(time.Hour)})
	}
	var order []int
	for range 5 {
		it := s.Next(now)
		order = append(order, it.Value.(int))
		s.Report(now, it, good)
		if len(order) <= 2 {
			s.Retry(now, it, now.Add(time.Second))
		} else {
			s.Remove(now, it)
		}
		if len(order) == 2 {
			now = now.Add(time.Second)
		}
	}
	assert.Equal(t, []int{0, 1, 0, 1, 2}, order)
}

func TestHalf(t *testing.T) {
	s := newSchedule(Config{Workers: 8})
	now := start
	for i := range 10 {
		add(s, now, fmt.Sprintf("dead%d", i), "/", 10)
	}
	for range 2 {
		items, _ := takeTurns(s, now)
		finish(s, now, items, hung)
	}
	items, _ := takeTurns(s, now)
	assert.Len(t, items, 4, "failing hosts hold half of the workers at most")
	add(s, now, "alive", "/a", 1)
	assert.Equal(t, "alive/a", s.Next(now).Value)
}

func TestHalfOfAHost(t *testing.T) {
	s := newSchedule(Config{Workers: 100, Window: 8})
	now := start
	for range 10 { // fill the host's window until it is 8
		for e := range 20 {
			add(s, now, "h", fmt.Sprintf("/%d", e), 1)
		}
		items, _ := takeTurns(s, now)
		finish(s, now, items, good)
	}
	for items, _ := takeTurns(s, now); len(items) > 0; items, _ = takeTurns(s, now) {
		finish(s, now, items, good)
	}
	require.Equal(t, 8, s.hosts["h"].window)
	for e := range 8 {
		add(s, now, "h", fmt.Sprintf("/dead%d", e), 10)
	}
	items, _ := takeTurns(s, now)
	require.Len(t, items, 8)
	finish(s, now, items, bad)
	items, got := takeTurns(s, now)
	assert.Len(t, items, 4, "failing endpoints hold half of their host's window at most: %v", got)
	add(s, now, "h", "/alive", 1)
	assert.Equal(t, "h/alive", s.Next(now).Value)
}

func TestSharesOfAFullQueue(t *testing.T) {
	s := newSchedule(Config{Messages: 1000})
	fill := func(host, endpoint string) (n int) {
		for s.Room(host, host+endpoint, 1) {
			add(s, start, host, endpoint, 1)
			n++
		}
		return n
	}
	assert.Equal(t, 667, fill("dead", "/a"), "two thirds for one endpoint")
	assert.Equal(t, 133, fill("dead", "/b"), "four fifths for a host")
	assert.Greater(t, fill("alive", "/"), 130, "and room for the others")
	assert.False(t, s.Full(1))
}

func TestForgetting(t *testing.T) {
	s := newSchedule(Config{Limit: 100, Burst: 100})
	now := start
	for i := range 1000 {
		host := fmt.Sprintf("h%d", i)
		add(s, now, host, "/", 1)
		items, _ := takeTurns(s, now)
		finish(s, now, items, good)
	}
	assert.Equal(t, 1000, s.Hosts())
	for t := s.Wake(); !t.IsZero(); t = s.Wake() {
		now = t
		s.advance(now)
	}
	assert.Zero(t, s.Hosts())
	assert.Zero(t, len(s.endpoints))
	assert.LessOrEqual(t, now.Sub(start), 3*time.Second)
}

func TestDeadHostIsForgottenInTheEnd(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	add(s, now, "h", "/", 7)
	for s.Counts().Held() > 0 {
		items, _ := takeTurns(s, now)
		finish(s, now, items, hung)
		if len(items) == 0 {
			now = s.Wake()
		}
	}
	now = now.Add(time.Minute)
	s.advance(now)
	assert.Equal(t, 7, s.hosts["h"].failures, "the next message must not find a host without a past")
	s.advance(now.Add(10 * time.Minute))
	s.advance(now.Add(11 * time.Minute))
	assert.Zero(t, s.Hosts())
}

func TestLimiterSpacing(t *testing.T) {
	s := newSchedule(Config{Limit: 10, Burst: 2})
	now := start
	add(s, now, "h", "/", 20)
	var at []time.Duration
	for s.Counts().Held() > 0 {
		if it := s.Next(now); it != nil {
			at = append(at, now.Sub(start).Round(time.Microsecond))
			finish(s, now, []*Item{it}, good)
			continue
		}
		now = s.Wake()
	}
	for i, d := range at {
		assert.Equal(t, time.Duration(max(0, i-1))*100*time.Millisecond, d)
	}
	s.SetLimit(5, 1)
	add(s, now, "h", "/", 2)
	first := s.Wake()
	require.Nil(t, s.Next(now))
	require.NotNil(t, s.Next(first))
	require.Nil(t, s.Next(first))
	assert.Equal(t, 200*time.Millisecond, s.Wake().Sub(first).Round(time.Microsecond), "the new limit holds for hosts known before")
}

func TestExpiry(t *testing.T) {
	s := newSchedule(Config{})
	it := &Item{}
	s.Add(start, it, Arrival{Host: "h", Endpoint: "h/", At: start, Deadline: start.Add(time.Minute)})
	require.NotNil(t, s.Next(start))
	s.Report(start, it, Result{Endpoint: Failure, PauseUntil: start.Add(time.Hour), Err: errors.New("paused")})
	s.Retry(start, it, start)
	assert.Nil(t, s.Next(start))
	assert.Equal(t, time.Minute, s.Wake().Sub(start), "its time runs out behind the pause")
	require.Equal(t, it, s.TakeExpired(start.Add(time.Minute)))
	for v := range s.All(start.Add(time.Minute)) {
		assert.Equal(t, "h", v.Key)
		assert.Equal(t, 1, v.Paused)
		assert.Equal(t, time.Hour, v.PausedUntil.Sub(start))
		assert.EqualError(t, v.LastErr, "paused")
	}
	s.Remove(start.Add(time.Minute), it)
	s.Remove(start.Add(time.Minute), it)
	assert.Zero(t, s.Counts().Held())
}

// Two goroutines that read the clock before they take a lock may come in the wrong order.
func TestTimeDoesNotGoBackwards(t *testing.T) {
	s := newSchedule(Config{Limit: 10, Burst: 1})
	n := 0
	for i := range 1000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		for _, now := range []time.Time{now, now.Add(-50 * time.Millisecond)} {
			add(s, now, "h", "/", 1)
			for it := s.Next(now); it != nil; it = s.Next(now) {
				n++
				finish(s, now, []*Item{it}, good)
			}
		}
	}
	assert.Equal(t, 10, n, "1 s at 10/s")
}

func TestLater(t *testing.T) {
	s := newSchedule(Config{Limit: 10, Burst: 1})
	assert.Equal(t, time.Second, s.Later(start, "unknown").Sub(start))
	add(s, start, "h", "/", 1)
	last := time.Duration(0)
	for range 100 {
		at := s.Later(start, "h").Sub(start)
		assert.GreaterOrEqual(t, at, max(time.Second, last+100*time.Millisecond))
		last = at
	}
	for range 100_000 {
		last = s.Later(start, "h").Sub(start)
	}
	assert.Equal(t, 10*time.Minute, last)
}

func TestTakeAll(t *testing.T) {
	s := newSchedule(Config{})
	for i := range 30 {
		add(s, start, fmt.Sprintf("h%d", i%3), fmt.Sprintf("/%d", i%5), 1)
	}
	s.Add(start, &Item{}, Arrival{Host: "x", Endpoint: "x/", At: start.Add(time.Hour), Deadline: start.Add(2 * time.Hour)})
	s.Add(start, &Item{}, Arrival{Host: "x", Endpoint: "x/", At: start, Deadline: start})
	it := s.Next(start)
	taken := s.TakeAll(start)
	assert.Len(t, taken, 31)
	assert.Empty(t, s.TakeAll(start))
	assert.Equal(t, Counts{InFlight: 1, Due: 31}, s.Counts(), "they keep their room")
	for _, it := range taken {
		s.Remove(start, it)
	}
	assert.Equal(t, Counts{InFlight: 1}, s.Counts())
	s.Remove(start, it)
	assert.Equal(t, Counts{}, s.Counts())
	assert.Zero(t, s.Bytes())
}

func BenchmarkTurn(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			now := start
			s := newSchedule(Config{Messages: 4 * n, Limit: 1000, Burst: 1000})
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprintf("h%d", i)
				s.Add(now, &Item{}, Arrival{Host: keys[i], Endpoint: keys[i], At: now, Deadline: now.Add(24 * time.Hour)})
			}
			r := rand.New(rand.NewPCG(1, 1))
			for b.Loop() {
				now = now.Add(10 * time.Microsecond)
				it := s.Next(now)
				s.Report(now, it, good)
				s.Retry(now, it, now.Add(time.Duration(r.Int64N(int64(10*time.Microsecond)*int64(n))/2)))
			}
		})
	}
}
