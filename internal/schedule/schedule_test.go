package schedule

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

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

func TestWindowGrowsOnlyInUse(t *testing.T) {
	s := newSchedule(Config{Window: 6})
	now := start
	for range 10 { // one at a time leaves most of the host's window of 4 free
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

// However many hosts are dead, an eighth of the room is left to those that aren't.
func TestFailingReceiversLeaveRoom(t *testing.T) {
	s := newSchedule(Config{Messages: 1000, Bytes: 100_000, Workers: 1000})
	now := start
	for i := range 500 {
		add(s, now, fmt.Sprintf("dead%d", i), "/", 1)
	}
	items, _ := takeTurns(s, now)
	require.Len(t, items, 500)
	for _, it := range items {
		s.Report(now, it, hung)
		s.Retry(now, it, now.Add(time.Hour))
	}
	for refused := 0; refused < 500; {
		refused = 0
		for i := range 500 {
			if host := fmt.Sprintf("dead%d", i); s.Room(host, host+"/", 1) {
				add(s, now, host, "/", 1)
			} else {
				refused++
			}
		}
	}
	_, blocked := s.Blocked(now, "dead0", "dead0/")
	require.False(t, blocked, "they fail, though no breaker is open")
	assert.Equal(t, 875, s.Counts().Held())
	for i := range 125 {
		host := fmt.Sprintf("alive%d", i)
		require.True(t, s.Room(host, host+"/", 1), "host %d", i)
		add(s, now, host, "/", 1)
	}
	assert.False(t, s.Room("alive125", "alive125/", 1))

	s = newSchedule(Config{Messages: 1000, Bytes: 80_000})
	add(s, now, "dead", "/", 1)
	items, _ = takeTurns(s, now)
	finish(s, now, items, hung)
	assert.True(t, s.Room("dead", "dead/", 80_000), "where nothing is held there is nobody to leave room for")
	s.Add(now, &Item{}, Arrival{Host: "alive", Endpoint: "alive/", At: now, Deadline: now.Add(time.Hour)})
	assert.True(t, s.Room("dead", "dead/", 70_000))
	assert.False(t, s.Room("dead", "dead/", 70_001), "in bytes, too")
	assert.True(t, s.Room("other", "other/", 80_000))
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

// BenchmarkTurn is a turn, its report and its retry, when a message for each of so many hosts waits for a later time
// and is delivered when that has come.
func BenchmarkTurn(b *testing.B) { benchmarkTurn(b, 2.2) }

// BenchmarkTurnBehind is the same when the workers can't keep up, so that most hosts have a message that is due. Every
// host is then looked at twice a turn: when its message becomes due, and much later when it is its turn.
func BenchmarkTurnBehind(b *testing.B) { benchmarkTurn(b, 0.5) }

// benchmarkTurn lets there be a turn every 10 µs, and every message wait up to the given multiple of the time that all
// hosts take for a turn each.
func benchmarkTurn(b *testing.B, wait float64) {
	const step = 10 * time.Microsecond
	for _, n := range []int{100, 1_000, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("hosts=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			now := start
			s := newSchedule(Config{Messages: 4 * n, Limit: 1000, Burst: 1000})
			r := rand.New(rand.NewPCG(1, 1))
			most := wait * float64(step) * float64(n)
			for i := range n {
				key := fmt.Sprintf("h%d", i)
				left := time.Duration(most * (1 - math.Sqrt(r.Float64()))) // of a wait that began earlier, at a moment like any other
				s.Add(now, &Item{}, Arrival{Host: key, Endpoint: key, At: now.Add(left), Deadline: now.Add(24 * time.Hour)})
			}
			turn := func() {
				now = now.Add(step)
				it := s.Next(now)
				for ; it == nil; it = s.Next(now) {
					now = s.Wake()
				}
				s.Report(now, it, good)
				s.Retry(now, it, now.Add(time.Duration(r.Float64()*most)))
			}
			for range n / 2 { // until the workers are behind, if that is to be
				turn()
			}
			runtime.GC() // or it would mark the large heap while the loop runs, which allocates nothing itself
			for b.Loop() {
				turn()
			}
		})
	}
}
