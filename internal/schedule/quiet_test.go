package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A quiet host with twenty endpoints gets a message a second. Of the five that are ill two hang and three answer 503, and
// often nobody else is answered between two of their failures. None of the others may wait for as long as one of them
// hangs: they would if the host lost all but one place for it, or were taken for dead.
func TestIllEndpointsOfAQuietHost(t *testing.T) {
	const (
		endpoints = 20
		timeout   = 5 * time.Second
		step      = 10 * time.Millisecond
		attempts  = 6
		seeds     = 40
	)
	type message struct {
		endpoint, attempts int
		sent, ends         time.Time // ends: its attempt
	}
	hangs := func(m *message) bool { return m.endpoint == 2 || m.endpoint == 3 }
	isIll := func(m *message) bool { return hangs(m) || m.endpoint == 8 || m.endpoint == 9 || m.endpoint == 15 }
	sum := time.Duration(0)
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newSchedule(Config{})
		var flight []*Item
		longest := time.Duration(0)
		for now := start; now.Before(start.Add(10 * time.Minute)); now = now.Add(step) {
			if now.Sub(start)%time.Second == 0 {
				m := &message{endpoint: r.IntN(endpoints), sent: now}
				s.Add(now, &Item{Value: m}, Arrival{
					Host: "h", Endpoint: fmt.Sprintf("h/%d", m.endpoint), At: now, Deadline: now.Add(2 * time.Minute),
				})
			}
			for it := s.TakeExpired(now); it != nil; it = s.TakeExpired(now) {
				s.Remove(now, it)
			}
			still := flight[:0]
			for _, it := range flight {
				m := it.Value.(*message)
				switch {
				case now.Before(m.ends):
					still = append(still, it)
				case !isIll(m):
					finish(s, now, []*Item{it}, good)
				case m.attempts == attempts:
					finish(s, now, []*Item{it}, hung)
				default:
					s.Report(now, it, hung) // to the schedule a 503 is the same
					s.Retry(now, it, now.Add(500*time.Millisecond<<m.attempts))
				}
			}
			flight = still
			for it := s.Next(now); it != nil; it = s.Next(now) {
				m := it.Value.(*message)
				m.attempts++
				m.ends = now.Add(step)
				if hangs(m) {
					m.ends = now.Add(timeout)
				}
				if !isIll(m) {
					longest = max(longest, now.Sub(m.sent))
				}
				flight = append(flight, it)
			}
		}
		assert.Less(t, longest, timeout, "seed %d: the longest wait for an endpoint that isn't ill", seed)
		sum += longest
	}
	assert.Less(t, sum/seeds, timeout/4, "the longest wait, on average")
}

// A failing endpoint proves nothing of a host whose breaker is open.
func TestAProbeGoesToASoundEndpoint(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	add(s, now, "h", "/failing", 10)
	for range breakerThreshold {
		now = now.Add(time.Second)
		finish(s, now, []*Item{s.Next(now)}, hung)
	}
	require.Nil(t, s.Next(now), "the breaker is open")
	now = now.Add(100 * time.Millisecond)
	add(s, now, "h", "/sound", 1)
	now = now.Add(time.Second)
	it := s.Next(now)
	require.NotNil(t, it)
	assert.Equal(t, "h/sound", it.endpoint.key)
	require.Nil(t, s.Next(now), "one probe at a time")
}

// A host's probes may not all go to endpoints that aren't failing, or one that fails would never be tried again: the
// attempts of such an endpoint may show nothing, or there may always be another one that is new.
func TestProbesReachFailingEndpointsToo(t *testing.T) {
	for name, c := range map[string]struct {
		other func(i int) string
		r     Result
	}{
		"beside attempts that show nothing": {func(int) string { return "/other" }, Result{}},
		"beside new endpoints that fail":    {func(i int) string { return fmt.Sprint("/new", i) }, hung},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSchedule(Config{})
			now := start
			next := func() (it *Item) {
				for it = s.Next(now); it == nil; it = s.Next(now) {
					now = s.Wake()
				}
				return it
			}
			add(s, now, "h", "/failing", breakerThreshold+1)
			for range breakerThreshold {
				finish(s, now, []*Item{next()}, hung)
			}
			for i := range 10 {
				add(s, now, "h", c.other(i), 1)
				it := next()
				if it.Value == "h/failing" {
					return
				}
				finish(s, now, []*Item{it}, c.r)
			}
			t.Error("it is never tried")
		})
	}
}

// A failing endpoint has the one or the other place of its host, however many others there are.
func TestAFailingEndpointHasAPlaceBesideSoundOnes(t *testing.T) {
	s := newSchedule(Config{})
	now := start
	add(s, now, "h", "/failing", 3)
	for range 2 {
		finish(s, now, []*Item{s.Next(now)}, hung)
	}
	require.Equal(t, 1, s.hosts["h"].window)
	busy := Result{Endpoint: Failure, Host: Success, Throttle: true} // 429
	var last *Item
	for i := range 10 { // each is answered when the next one is under way
		now = now.Add(time.Second)
		add(s, now, "h", fmt.Sprint("/new", i), 1)
		it := s.Next(now)
		require.NotNil(t, it)
		if it.Value == "h/failing" {
			return
		}
		if last != nil {
			finish(s, now, []*Item{last}, busy)
		}
		last = it
	}
	t.Error("it is never tried")
}
