package schedule

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// A model is the schedule as one would write it without a thought for cost: it keeps plain slices and looks
// at everything, every time. It shares no code with Schedule but the rate limiter.
type model struct {
	config Config
	start  time.Time
	seq    int64
	hosts  []*modelHost
	over   []*modelItem // expired
}

type modelGate struct {
	window, failures  int
	proven            bool
	cut, opened       int64
	probe             time.Duration
	closed, paused    time.Time
	failed, idleUntil time.Time
	stamp             int64
}

type modelHost struct {
	modelGate
	key       string
	endpoints []*modelEndpoint
	limiter   *rate.Limiter
	answered  int64
	spared    bool
}

func (h *modelHost) probes() bool { return h.failures >= 5 }

type modelEndpoint struct {
	modelGate
	key   string
	items []*modelItem // waiting, due, in flight
	fell  int64        // when it last failed
}

type modelItem struct {
	id       int
	size     int64
	at       time.Time
	deadline time.Time
	state    state
	began    int64
	used     [2]bool // host's, endpoint's window
	host     *modelHost
	endpoint *modelEndpoint
}

func (m *model) host(key string) *modelHost {
	for _, h := range m.hosts {
		if h.key == key {
			return h
		}
	}
	return nil
}

func (h *modelHost) endpoint(key string) *modelEndpoint {
	for _, e := range h.endpoints {
		if e.key == key {
			return e
		}
	}
	return nil
}

func (e *modelEndpoint) count(s state) (n int) {
	for _, it := range e.items {
		if it.state == s {
			n++
		}
	}
	return n
}

func (h *modelHost) count(s state) (n int) {
	for _, e := range h.endpoints {
		n += e.count(s)
	}
	return n
}

func (m *model) count(s state) (n int) {
	for _, h := range m.hosts {
		n += h.count(s)
	}
	return n
}

func (g *modelGate) isFailing() bool {
	return g.failures > 1 || g.failures > 0 && !g.proven
}

func (g *modelGate) blocked(now time.Time) bool { return g.closed.After(now) || g.paused.After(now) }

// heldBack tells whether one more message had better not come to who has held messages.
func (g *modelGate) heldBack(now time.Time, held int) bool {
	return g.blocked(now) || g.failures >= 5 && held > 0
}

func (h *modelHost) held() (n int) {
	for _, e := range h.endpoints {
		n += len(e.items)
	}
	return n
}

// remembers tells whether there is something about the gate that must not be forgotten yet.
func (g *modelGate) remembers(now time.Time) bool {
	if g.blocked(now) {
		return true
	}
	if g.failures == 0 {
		return false
	}
	return g.failed.Add(5*time.Minute).After(now) || g.closed.Add(5*time.Minute).After(now) && !g.closed.IsZero()
}

// advance moves what is due, expires what is too old and forgets what is idle.
func (m *model) advance(now time.Time) {
	for {
		var first *modelItem
		var at time.Time
		for _, h := range m.hosts {
			for _, e := range h.endpoints {
				for _, it := range e.items {
					t := it.at
					if it.state == due {
						t = it.deadline
					}
					if (it.state == due || it.state == waiting) && !t.After(now) && (first == nil || t.Before(at)) {
						first, at = it, t
					}
				}
			}
		}
		if first == nil {
			break
		}
		if first.state == waiting {
			m.stand(first, now)
		} else {
			first.state = expired
			m.over = append(m.over, first)
		}
	}
	for _, h := range m.hosts {
		h.endpoints = slices.DeleteFunc(h.endpoints, func(e *modelEndpoint) bool {
			return len(e.items) == 0 && !e.idleUntil.After(now) && !e.remembers(now)
		})
	}
	m.hosts = slices.DeleteFunc(m.hosts, func(h *modelHost) bool {
		if len(h.endpoints) > 0 {
			return false
		}
		return !h.remembers(now) && h.limiter.TokensAt(now) >= float64(m.config.Burst)
	})
}

// stand puts an item at the end of its endpoint's line.
func (m *model) stand(it *modelItem, now time.Time) {
	e, h := it.endpoint, it.host
	if !it.deadline.After(now) {
		it.state = expired
		m.over = append(m.over, it)
		return
	}
	first, firstOfHost := e.count(due) == 0, h.count(due) == 0
	it.state = due
	if first {
		m.seq++
		e.stamp = m.seq
	}
	if firstOfHost {
		m.seq++
		h.stamp = m.seq
	}
}

func (m *model) room(host, endpoint string, size int64) bool {
	free, freeBytes := m.config.Messages, m.config.Bytes
	var ofHost, ofEndpoint int
	failing := false
	var hostBytes, endpointBytes int64
	for _, h := range m.hosts {
		failing = failing || h.key == host && h.isFailing()
		for _, e := range h.endpoints {
			failing = failing || e.key == endpoint && e.isFailing()
			for _, it := range e.items {
				free--
				freeBytes -= it.size
				if h.key == host {
					ofHost++
					hostBytes += it.size
				}
				if e.key == endpoint {
					ofEndpoint++
					endpointBytes += it.size
				}
			}
		}
	}
	if failing && free < m.config.Messages && (free <= m.config.Messages/8 || freeBytes-size < m.config.Bytes/8) {
		return false
	}
	return free > 0 && size <= freeBytes &&
		(ofHost == 0 || ofHost < 4*free) && (hostBytes == 0 || hostBytes < 4*freeBytes) &&
		(ofEndpoint == 0 || ofEndpoint < 2*free) && (endpointBytes == 0 || endpointBytes < 2*freeBytes)
}

func (m *model) add(now time.Time, it *modelItem, host, endpoint string) {
	m.advance(now)
	h := m.host(host)
	if h == nil {
		h = &modelHost{key: host, limiter: rate.NewLimiter(m.config.Limit, m.config.Burst)}
		h.window = min(4, m.config.Window)
		m.hosts = append(m.hosts, h)
	}
	e := h.endpoint(endpoint)
	if e == nil {
		e = &modelEndpoint{key: endpoint}
		e.window = 1
		h.endpoints = append(h.endpoints, e)
	}
	it.host, it.endpoint = h, e
	e.items = append(e.items, it)
	m.put(it, now, it.at)
}

func (m *model) put(it *modelItem, now, at time.Time) {
	it.at = at
	if at.After(now) {
		it.state = waiting
	} else {
		m.stand(it, now)
	}
}

// mayTurn lists the endpoints of h that may have a turn.
func (m *model) mayTurn(h *modelHost, now time.Time) (may []*modelEndpoint) {
	full := h.count(inFlight) >= h.window
	if full && (h.count(inFlight) != 1 || h.probes() || m.config.Window == 1) {
		return nil
	}
	suspects := 0
	for _, e := range h.endpoints {
		if e.isFailing() {
			suspects += e.count(inFlight)
		}
	}
	for _, e := range h.endpoints {
		if e.count(due) > 0 && e.count(inFlight) < e.window && !e.blocked(now) &&
			(!e.isFailing() || suspects < max(1, h.window/2)) && (!full || (!e.isFailing() || suspects == 0) && e.count(inFlight) == 0) {
			may = append(may, e)
		}
	}
	if sound := slices.DeleteFunc(slices.Clone(may), (*modelEndpoint).isFailing); h.probes() && !h.spared && len(sound) > 0 {
		return sound
	}
	return may
}

func (m *model) next(now time.Time) *modelItem {
	m.advance(now)
	if m.count(inFlight) >= m.config.Workers {
		return nil
	}
	suspects := 0
	for _, h := range m.hosts {
		if h.isFailing() {
			suspects += h.count(inFlight)
		}
	}
	var hosts []*modelHost
	for _, h := range m.hosts {
		if !h.blocked(now) && len(m.mayTurn(h, now)) > 0 &&
			h.limiter.TokensAt(now) >= 1 && (!h.isFailing() || suspects < max(1, m.config.Workers/2)) {
			hosts = append(hosts, h)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	h := slices.MinFunc(hosts, func(a, b *modelHost) int {
		return cmp.Or(cmp.Compare(a.count(inFlight), b.count(inFlight)), cmp.Compare(a.stamp, b.stamp))
	})
	e := slices.MinFunc(m.mayTurn(h, now), func(a, b *modelEndpoint) int {
		return cmp.Or(cmp.Compare(a.count(inFlight), b.count(inFlight)), cmp.Compare(a.stamp, b.stamp))
	})
	var it *modelItem
	for _, x := range e.items {
		if x.state == due && (it == nil || x.id < it.id) { // IDs are numbers, in the order of arrival
			it = x
		}
	}
	h.spared = h.probes() && !h.spared && !e.isFailing()
	h.limiter.AllowN(now, 1)
	m.seq++
	it.state, it.began = inFlight, m.seq
	h.stamp, e.stamp = m.seq, m.seq
	it.used = [2]bool{h.count(inFlight) > h.window/2, e.count(inFlight) >= e.window}
	return it
}

func (m *model) report(now time.Time, it *modelItem, r Result) {
	m.advance(now)
	m.seq++
	hostEvidence, since := r.Host, it.began
	if it.endpoint.failures > 0 {
		since = min(since, it.endpoint.fell)
	}
	if r.Endpoint == Failure {
		it.endpoint.fell = m.seq
	}
	if r.Host == Success {
		it.host.answered = m.seq
	} else if r.Host == Failure && it.host.answered > since {
		hostEvidence = Nothing
	}
	m.learn(&it.endpoint.modelGate, now, it.began, r.Endpoint, r.Throttle, it.used[1])
	opened := it.host.opened
	m.learn(&it.host.modelGate, now, it.began, hostEvidence, r.Throttle, it.used[0] && !r.Throttle)
	if m.config.Holds && hostEvidence == Failure && it.host.opened > opened && it.endpoint.isFailing() {
		after := it.host.closed.Add(min(time.Second, it.host.probe/8))
		if it.endpoint.closed.Before(after) {
			it.endpoint.closed = after
		}
	}
	if r.PauseUntil.After(it.endpoint.paused) {
		it.endpoint.paused = r.PauseUntil
	}
}

func (m *model) learn(g *modelGate, now time.Time, began int64, v Evidence, throttle, used bool) {
	switch v {
	case Success:
		g.failures, g.proven, g.probe, g.closed = 0, true, 0, time.Time{}
		if used {
			g.window = min(g.window+1, m.config.Window)
		}
	case Failure:
		g.failures++
		g.failed = now
		if throttle && began > g.cut {
			g.window, g.cut = max(g.window/2, 1), m.seq
		}
		if g.isFailing() {
			g.window = 1
		}
		if g.failures == 5 {
			g.probe = time.Second
			g.opened, g.closed = m.seq, now.Add(g.probe)
		} else if g.failures > 5 && began > g.opened {
			g.probe = min(2*g.probe, 5*time.Minute)
			g.opened, g.closed = m.seq, now.Add(g.probe)
		}
	case Nothing:
		if g.failures >= 5 && began > g.opened {
			g.opened, g.closed = m.seq, now.Add(g.probe)
		}
	}
}

func (m *model) retry(now time.Time, it *modelItem, at time.Time) {
	m.advance(now)
	m.put(it, now, at)
}

func (m *model) remove(now time.Time, it *modelItem) {
	m.advance(now)
	it.endpoint.items = slices.DeleteFunc(it.endpoint.items, func(x *modelItem) bool { return x == it })
	m.over = slices.DeleteFunc(m.over, func(x *modelItem) bool { return x == it })
	if len(it.endpoint.items) == 0 {
		since := now.Sub(m.start)
		it.endpoint.idleUntil = m.start.Add(since.Truncate(time.Second) + time.Second)
	}
}

// wakes is the earliest time after now at which something that waits is due, a deadline is over, or a hold
// ends that alone keeps a due message from its turn.
func (m *model) wakes(now time.Time) time.Time {
	t := never
	earlier := func(x time.Time) {
		if x.After(now) && x.Before(t) {
			t = x
		}
	}
	for _, h := range m.hosts {
		for _, e := range h.endpoints {
			for _, it := range e.items {
				switch {
				case it.state == waiting:
					earlier(it.at)
				case it.state == due:
					earlier(it.deadline)
					if !e.isFailing() && e.count(inFlight) < e.window && h.count(inFlight) < h.window {
						earlier(slices.MaxFunc([]time.Time{h.closed, e.closed, e.paused}, time.Time.Compare))
					}
				}
			}
		}
	}
	return t
}

var never = time.Unix(1<<40, 0)
