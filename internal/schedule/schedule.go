// Package schedule decides whose turn it is to be delivered.
//
// A [Schedule] is a plain data structure: it starts no goroutine, takes no lock and reads no clock. Every
// message is an [Item] that is in one of three conditions: it waits for a time, it is due and stands in its
// endpoint's line, or it is in flight. Two levels of turns, hosts and each host's endpoints, keep a receiver
// that is slow or dead from taking what the others need; [gate] says when a host or endpoint may have a turn
// at all.
//
// Every operation costs O(log n) for n messages, hosts and endpoints, or better, for each item that it
// touches or that became due since the last one.
package schedule

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Config is what a Schedule is bounded by.
type Config struct {
	Workers  int        // attempts in flight at most
	Window   int        // attempts in flight at one host or endpoint at most; MaxWindow at most
	Messages int        // messages held at most
	Bytes    int64      // payload bytes held at most
	Limit    rate.Limit // attempts a second at one host
	Burst    int        // attempts that a host may get at once
	Holds    bool       // whoever feeds the schedule can hold back messages: TakeHold says which
}

// An Item is a message in a schedule.
type Item struct {
	Value any // whatever the owner needs to find the message again

	endpoint     *endpoint
	prev, next   *Item // among its endpoint's waiting ones, or the expired
	size         int64 // payload bytes
	expiry       int64 // when it expires
	arrival      int64 // sequence number of its Add
	began        int64 // sequence number of its turn
	timer        int32 // place in Schedule.items: by due time while it waits, by expiry while it is due
	spot         int32 // place in its endpoint's line
	state        state
	hostUsed     bool // the turn found its host's window in use
	endpointUsed bool // … its endpoint's
}

type state uint8

const (
	gone    state = iota // not in the schedule
	waiting              // for a time
	due
	inFlight
	expired // past its deadline, to be collected by TakeExpired
	taken   // by its owner; it keeps its room until Remove
)

// Held reports whether the item is in a schedule.
func (it *Item) Held() bool { return it.state != gone }

type timedItem struct{ *Item }

func (it timedItem) place() int32     { return it.timer }
func (it timedItem) setPlace(i int32) { it.timer = i }

type dueItem struct{ *Item }

func (it dueItem) place() int32     { return it.spot }
func (it dueItem) setPlace(i int32) { it.spot = i }

// A Schedule holds messages and says whose turn it is. It is not safe for concurrent use. A time that is given to it
// after a later one counts as that one.
type Schedule struct {
	config    Config
	start     time.Time // times are nanoseconds since start
	last      int64     // the latest time that was given: time never goes backwards
	seq       int64     // numbers turns and events
	hosts     map[string]*host
	endpoints map[string]*endpoint
	order     turns            // of hosts
	items     heap[timedItem]  // waiting by due time, due by expiry
	timers    heap[timedParty] // by the time at which a party is unblocked or forgotten
	expired   list
	holds     []Hold // said, not taken
	counts    Counts
	bytes     int64
}

// Counts are how many items are in which condition.
type Counts struct {
	Due, Waiting, InFlight int
}

// Held is the sum of the counts.
func (c Counts) Held() int { return c.Due + c.Waiting + c.InFlight }

// New returns an empty schedule whose time begins at start.
func New(config Config, start time.Time) *Schedule {
	return &Schedule{
		config:    config,
		start:     start,
		hosts:     make(map[string]*host),
		endpoints: make(map[string]*endpoint),
	}
}

// Counts returns how many items are due, waiting and in flight.
func (s *Schedule) Counts() Counts { return s.counts }

// Bytes returns the payload bytes held.
func (s *Schedule) Bytes() int64 { return s.bytes }

// Hosts returns how many hosts are known.
func (s *Schedule) Hosts() int { return len(s.hosts) }

// A host may hold at most hostShare times the free room, an endpoint endpointShare times; failing ones may not take the
// last reserve-th of all room.
const (
	hostShare     = 4
	endpointShare = 2
	reserve       = 8

	endpointLeases = 256 // messages of one endpoint, if whoever feeds the schedule can hold back the others (Config.Holds)
)

// Room reports whether there is room for one more message of the given size. Room is shared by the
// dynamic-threshold rule of Choudhury and Hahne ("Dynamic queue length thresholds for shared-memory packet
// switches", 1998): nobody may hold more than a multiple of what is free, so that there is always room for
// somebody else. The rule counts on queues that drain. Those of dead receivers don't, and many of them would fill the
// room together: so a part of it is for the others. And what can be held back elsewhere needs no room here: of one endpoint
// there are so many that it never lacks work while the next ones come, and so few that they go back quickly if it fails.
func (s *Schedule) Room(hostKey, endpointKey string, size int64) bool {
	free := s.config.Messages - s.counts.Held()
	freeBytes := s.config.Bytes - s.bytes
	if free < 1 || freeBytes < size {
		return false
	}
	h, e := s.hosts[hostKey], s.endpoints[endpointKey]
	if h != nil && (h.held >= hostShare*free || h.bytes > 0 && h.bytes >= hostShare*freeBytes) {
		return false
	}
	if e != nil && (e.held >= endpointShare*free || e.bytes > 0 && e.bytes >= endpointShare*freeBytes) {
		return false
	}
	if s.config.Holds && e != nil && e.held >= max(endpointLeases, 2*s.config.Window) {
		return false
	}
	isFailing := h != nil && h.suspect || e != nil && e.suspect
	return !isFailing || s.counts.Held() == 0 || free > s.config.Messages/reserve && freeBytes-size >= s.config.Bytes/reserve
}

// HostRoom reports whether Room could be true for some endpoint of a host.
func (s *Schedule) HostRoom(hostKey string) bool {
	return s.Room(hostKey, "", 0)
}

// Full reports whether there is no room for anybody's message of the given size.
func (s *Schedule) Full(size int64) bool {
	return s.counts.Held() >= s.config.Messages || s.bytes+size > s.config.Bytes
}

// Blocked returns until when a message for the endpoint had better not come, because the endpoint or its host is
// paused, or its breaker is open and it has a message for the next probe already; and whether there is such a time.
func (s *Schedule) Blocked(now time.Time, hostKey, endpointKey string) (until time.Time, blocked bool) {
	n := max(s.nanos(now), s.last)
	var t int64
	if h := s.hosts[hostKey]; h != nil {
		t = h.heldBackTo(n)
	}
	if e := s.endpoints[endpointKey]; e != nil {
		t = max(t, e.heldBackTo(n))
	}
	return s.time(t), t > n
}

// heldBackTo is blockedTo for one more message.
func (p *party) heldBackTo(now int64) int64 {
	t := p.blockedTo()
	if p.probe > 0 && p.held > p.taken {
		t = max(t, now+int64(p.probe))
	}
	return t
}

// An Arrival says what an item's place in the schedule is.
type Arrival struct {
	Host     string
	Endpoint string    // must belong to one host only
	Size     int64     // payload bytes
	At       time.Time // when it is due
	Deadline time.Time // when it expires
}

// Add takes in an item. It doesn't ask whether there is Room.
func (s *Schedule) Add(now time.Time, it *Item, a Arrival) {
	n := s.advance(now)
	e := s.endpoints[a.Endpoint]
	if e == nil {
		e = s.meet(a.Host, a.Endpoint)
	}
	it.endpoint = e
	it.timer, it.spot = nowhere, nowhere
	it.size = a.Size
	s.seq++
	it.arrival = s.seq
	it.expiry = s.nanos(a.Deadline)
	for _, p := range [...]*party{&e.party, &e.host.party} {
		p.held++
		p.bytes += it.size
	}
	s.bytes += it.size
	s.put(it, n, s.nanos(a.At))
}

// put lets an item that is in no list wait until at, or stand in line.
func (s *Schedule) put(it *Item, now, at int64) {
	if at <= now {
		s.enqueue(it, now)
		return
	}
	e := it.endpoint
	it.state = waiting
	s.counts.Waiting++
	e.waits.push(it)
	s.items.set(timedItem{it}, at)
	s.place(e, now)
}

// enqueue puts an item that is in no list into its endpoint's line, or among the expired.
func (s *Schedule) enqueue(it *Item, now int64) {
	s.counts.Due++
	e := it.endpoint
	if it.expiry <= now {
		it.state = expired
		s.items.remove(timedItem{it})
		s.expired.push(it)
		s.place(e, now)
		return
	}
	it.state = due
	s.items.set(timedItem{it}, it.expiry)
	// A retry takes its place by its arrival, before what came later: or the probes of a breaker would go to one new
	// message after the other, and never to one that is about to succeed.
	e.line.set(dueItem{it}, it.arrival)
	for _, p := range [...]*party{&e.party, &e.host.party} {
		if p.due++; p.due == 1 {
			s.seq++
			p.stamp = s.seq
		}
	}
	s.place(e, now)
}

// Next returns the item whose turn it is, or nil if nobody may have a turn now. The item is in flight until
// Retry or Remove.
func (s *Schedule) Next(now time.Time) *Item {
	n := s.advance(now)
	if s.counts.InFlight >= s.config.Workers {
		return nil
	}
	p := s.order.next(s.half())
	if p == nil {
		return nil
	}
	h := p.host
	e := h.next(s.config.Window).endpoint
	_, first := e.line.min()
	it := first.Item
	s.leaveLine(it)
	if h.limiter != nil {
		h.limiter.AllowN(s.time(n), 1) // place has seen the token
		h.token = false
	}
	s.seq++
	it.began = s.seq
	it.state = inFlight
	s.counts.InFlight++
	h.spared = h.probe > 0 && !h.spared && !e.suspect
	h.begin(s.seq)
	e.begin(s.seq)
	// An endpoint's window is in use when it is full. A host's must leave room for as many as are in flight: when it
	// was left with a single free place, two endpoints in a row that had begun to hang stopped all the others.
	it.hostUsed = 2*h.inFlight > h.window
	it.endpointUsed = e.inFlight >= e.window
	s.place(e, n)
	return it
}

// half is how many workers failing hosts may hold together.
func (s *Schedule) half() int { return max(1, s.config.Workers/2) }

// leaveLine takes a due item out of its endpoint's line.
func (s *Schedule) leaveLine(it *Item) {
	e := it.endpoint
	e.line.remove(dueItem{it})
	s.items.remove(timedItem{it})
	s.counts.Due--
	e.due--
	e.host.due--
}

// Evidence is what an attempt says of a host or an endpoint.
type Evidence uint8

const (
	Nothing Evidence = iota // none; a probe that shows nothing is made again, as long after it as after the last one
	Success
	Failure
	Untried // there was no attempt at all: nothing changes
)

// A Result is what an attempt has shown.
type Result struct {
	Endpoint   Evidence
	Host       Evidence  // Failure counts only if the host has answered nothing since the attempt began, or its endpoint failed before
	Throttle   bool      // the failure is one of congestion: windows are halved
	PauseUntil time.Time // the receiver asks that nothing be sent to the endpoint before; zero: it doesn't
	Err        error     // kept as the host's last error if not nil
}

// A Change is what became of a host or an endpoint through a Result.
type Change struct {
	HostOpened, EndpointOpened bool      // a breaker opened, or a probe failed
	HostUntil, EndpointUntil   time.Time // until when
	HostFailures               int       // in a row
	EndpointFailures           int
}

// Report tells the schedule how the attempt of an item in flight went. The item keeps its place in the
// windows until Retry or Remove: what the owner does in between is part of the turn.
func (s *Schedule) Report(now time.Time, it *Item, r Result) Change {
	n := s.advance(now)
	e := it.endpoint
	h := e.host
	s.seq++
	var c Change
	since := it.began
	if e.failures > 0 { // what the host answers others between two failures of an endpoint says whose fault they are
		since = min(since, e.failed)
	}
	c.EndpointOpened = s.learn(&e.party, n, it.began, r.Endpoint, r.Throttle, it.endpointUsed)
	evidence := r.Host
	switch {
	case evidence == Success:
		h.answered = s.seq
	case evidence == Failure && h.answered > since:
		evidence = Nothing // it answers others: this is the endpoint's fault
	}
	if r.Endpoint == Failure {
		e.failed = s.seq
	}
	used := it.hostUsed && !r.Throttle // a host whose endpoint throttles answers, but doesn't ask for more
	c.HostOpened = s.learn(&h.party, n, it.began, evidence, r.Throttle, used)
	if c.HostOpened {
		s.yield(e)
	}
	if !r.PauseUntil.IsZero() {
		e.pause(s.nanos(r.PauseUntil))
	}
	if r.Err != nil {
		h.lastErr = r.Err
	}
	c.HostUntil, c.EndpointUntil = s.time(h.closedTo), s.time(e.closedTo)
	c.HostFailures, c.EndpointFailures = h.failures, e.failures
	s.place(e, n)
	return c
}

func (s *Schedule) learn(p *party, now, began int64, v Evidence, throttle, used bool) (opened bool) {
	switch v {
	case Success:
		p.success(used, s.config.Window)
	case Failure:
		opened = p.failure(now, s.seq, began, throttle)
	case Nothing:
		p.inconclusive(now, s.seq, began)
	}
	p.judge()
	return opened
}

// Retry ends an item's turn and lets it wait until at.
func (s *Schedule) Retry(now time.Time, it *Item, at time.Time) {
	n := s.advance(now)
	s.endTurn(it)
	s.put(it, n, s.nanos(at))
}

func (s *Schedule) endTurn(it *Item) {
	it.state = gone
	s.counts.InFlight--
	it.endpoint.end()
	it.endpoint.host.end()
}

// Remove takes an item out, whatever its condition; its turn, if it has one, ends. It does nothing if the
// item is not in the schedule.
func (s *Schedule) Remove(now time.Time, it *Item) {
	n := s.advance(now)
	e := it.endpoint
	switch it.state {
	case gone:
		return
	case waiting:
		e.waits.remove(it)
		s.items.remove(timedItem{it})
		s.counts.Waiting--
	case due:
		s.leaveLine(it)
	case expired:
		s.expired.remove(it)
		s.counts.Due--
	case taken:
		s.counts.Due--
		e.taken--
		e.host.taken--
	case inFlight:
		s.endTurn(it)
	}
	it.state = gone
	for _, p := range [...]*party{&e.party, &e.host.party} {
		p.held--
		p.bytes -= it.size
		p.uncrowd()
	}
	s.bytes -= it.size
	s.place(e, n)
}

// take puts an item that isn't in flight out of everybody's way. It counts as due, and keeps its room, until
// Remove: its owner still has to tell somebody what became of it.
func (s *Schedule) take(it *Item, now int64) {
	switch it.state {
	case waiting:
		it.endpoint.waits.remove(it)
		s.items.remove(timedItem{it})
		s.counts.Waiting--
		s.counts.Due++
	case due:
		s.leaveLine(it)
		s.counts.Due++
	case expired:
		s.expired.remove(it)
	}
	it.state = taken
	it.endpoint.taken++
	it.endpoint.host.taken++
	s.place(it.endpoint, now)
}

// TakeExpired takes a due item whose deadline is over, or returns nil. What is taken keeps its room until Remove.
func (s *Schedule) TakeExpired(now time.Time) *Item {
	n := s.advance(now)
	it := s.expired.head
	if it != nil {
		s.take(it, n)
	}
	return it
}

// TakeEndpoint takes all of an endpoint's messages that are not in flight.
func (s *Schedule) TakeEndpoint(now time.Time, endpointKey string) []*Item {
	n := s.advance(now)
	e := s.endpoints[endpointKey]
	if e == nil {
		return nil
	}
	return s.takeAll(e, n, nil)
}

func (s *Schedule) takeAll(e *endpoint, now int64, taken []*Item) []*Item {
	for e.line.len() > 0 {
		_, it := e.line.min()
		taken = append(taken, it.Item)
		s.take(it.Item, now)
	}
	for e.waits.head != nil {
		taken = append(taken, e.waits.head)
		s.take(e.waits.head, now)
	}
	return taken
}

// TakeHost takes all of a host's messages that are not in flight.
func (s *Schedule) TakeHost(now time.Time, hostKey string) (taken []*Item) {
	n := s.advance(now)
	if h := s.hosts[hostKey]; h != nil {
		for e := h.first; e != nil; e = e.next {
			taken = s.takeAll(e, n, taken)
		}
	}
	return taken
}

// TakeAll takes all messages that are not in flight and not taken yet.
func (s *Schedule) TakeAll(now time.Time) (taken []*Item) {
	for it := s.TakeExpired(now); it != nil; it = s.TakeExpired(now) {
		taken = append(taken, it)
	}
	for key := range s.hosts {
		taken = append(taken, s.TakeHost(now, key)...)
	}
	return taken
}

// Wake returns the time at which Next or TakeExpired may have something that they don't have now, or the zero
// time if only a change can bring it. It requires that Next and TakeExpired have returned nil.
func (s *Schedule) Wake() time.Time {
	t := int64(math.MaxInt64)
	if s.items.len() > 0 {
		t, _ = s.items.min()
	}
	if s.timers.len() > 0 {
		k, _ := s.timers.min()
		t = min(t, k)
	}
	if t == math.MaxInt64 {
		return time.Time{}
	}
	return s.time(t)
}

// SetLimit changes every host's rate limit.
func (s *Schedule) SetLimit(limit rate.Limit, burst int) {
	s.config.Limit, s.config.Burst = limit, burst
}

// advance brings the schedule to the given time: what waited for it is due, what was due until then has
// expired, who was blocked until then may have a turn, and who was kept in mind until then is forgotten.
func (s *Schedule) advance(now time.Time) int64 {
	n := max(s.nanos(now), s.last)
	s.last = n
	for s.items.len() > 0 {
		t, it := s.items.min()
		if t > n {
			break
		}
		if it.state == waiting {
			it.endpoint.waits.remove(it.Item)
			s.counts.Waiting--
		} else {
			s.leaveLine(it.Item)
		}
		s.enqueue(it.Item, n)
	}
	for s.timers.len() > 0 {
		t, p := s.timers.min()
		if t > n {
			break
		}
		s.timers.remove(p)
		if p.endpoint != nil {
			s.place(p.endpoint, n)
		} else {
			s.placeHost(p.host, n)
		}
	}
	return n
}

func (s *Schedule) nanos(t time.Time) int64 { return int64(t.Sub(s.start)) }

func (s *Schedule) time(n int64) time.Time { return s.start.Add(time.Duration(n)) }
