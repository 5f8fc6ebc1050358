package sqlite

import (
	"cmp"
	"container/heap"
	"container/list"
	"math"
	"slices"

	"github.com/signpost-go/signpost"
)

// never is when a line without a waiting message is due.
const never = math.MaxInt64

const (
	maxBuffered   = 4 << 20 // size of messages in memory that aren't leased; beyond, messages are read one by one
	maxOffered    = 64      // messages of one line that are kept in memory when they are put
	entryOverhead = 512     // about what an entry takes beside its texts
)

// lines know which endpoints have pending messages in the file, and whose turn it is to give one: hosts in turn, and
// each host's endpoints in turn, so that a long line delays nobody else's. It is a plain data structure in memory whose
// size follows the number of endpoints with pending messages, and of messages that wait for a retry: no lock, no clock, no
// file. Times are milliseconds.
//
// The messages of a line are read from the file in the order of position. Of what it has not read a line knows when the
// first one is due. One that was leased and is put back is a stray, as is one that is put before what has been read already:
// a line knows its number, and it is read by that.
//
// What has become due during a hold could not be given when it was due, and comes in the order in which it was accepted, when
// the hold is over. In the order of position a retry would come after all that were accepted before it was due, and the probes of
// a breaker would go to one new message after the other, and never to one that is about to succeed.
//
// The row of a stray can stand among those that a load is yet to read in order. It is taken once all the same. Nothing is read
// in order unless all strays that are due are read before that in the same load, and what is in memory already is left out. And
// what a load has read is what the file says unless its lease has ended since: a line that loads remembers which those are.
type lines struct {
	endpoints map[string]*line // by key
	hosts     map[string]*host
	ready     list.List // of *host, in turn
	timers    timers
	holds     map[string]int64 // until when an endpoint or a host is held back, or was
	sweepAt   int              // so many holds are searched for those that are over
	out       map[int64]*entry // messages in memory: read, or leased
	buffered  int              // size of what is read and not leased
}

// A host's lines share its turns.
type host struct {
	key   string
	lines int
	ready list.List     // of *line, in turn
	turn  *list.Element // in lines.ready; nil: not there
	timer timer         // the end of its hold
}

// A line is the pending messages for one endpoint.
type line struct {
	key      string
	host     *host
	buffer   []*entry   // read, not leased
	read     position   // of the last message that was read in order
	next     int64      // when the first message after that is due, or earlier
	strays   byPosition // known by number; a few twice, if they were read before they were made known
	held     byNumber   // strays, too, that were due before the end of a hold
	leased   int        // messages
	loading  bool       // somebody reads its messages
	arrivals []position // put meanwhile
	settled  []int64    // numbers of messages whose lease has ended meanwhile
	retryAt  int64      // reading has failed: no reading before
	turn     *list.Element
	timer    timer // when its next message is due, or the end of its hold
}

// A position is a message's place in the order of its line.
type position struct{ due, number int64 }

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.due, q.due), cmp.Compare(p.number, q.number))
}

// An entry is a message in memory.
type entry struct {
	position
	line    *line
	message signpost.Message
	size    int
}

func newEntry(p position, l *line, m signpost.Message, header string) *entry {
	return &entry{position: p, line: l, message: m, size: entryOverhead + len(m.ID) + len(m.URL) + len(header) + len(m.Payload)}
}

func newLines() *lines {
	return &lines{
		endpoints: map[string]*line{}, hosts: map[string]*host{}, holds: map[string]int64{}, out: map[int64]*entry{},
		sweepAt: 1024,
	}
}

// line returns the line of an endpoint, which is made if there is none. It is forgotten again by place, unless
// something is put into it.
func (s *lines) line(hostKey, key string) *line {
	if l := s.endpoints[key]; l != nil {
		return l
	}
	h := s.hosts[hostKey]
	if h == nil {
		h = &host{key: hostKey}
		h.timer.host = h
		s.hosts[hostKey] = h
	}
	h.lines++
	l := &line{key: key, host: h, read: position{due: math.MinInt64}, next: never}
	l.timer.line = l
	s.endpoints[key] = l
	return l
}

// put makes a pending message known that was not leased.
func (s *lines) put(l *line, p position, now int64) {
	switch {
	case s.out[p.number] != nil: // it was read before it was made known
	case l.loading:
		l.arrivals = append(l.arrivals, p)
	case p.compare(l.read) > 0:
		l.next = min(l.next, p.due)
	default:
		heap.Push(&l.strays, p)
	}
	s.place(l, now)
}

// offer takes in a message that has just been put into the file, unless others of its line come first, or it may have
// to wait for long. It reports whether it did.
func (s *lines) offer(e *entry, now int64) bool {
	l := e.line
	switch {
	case l.loading || e.compare(l.read) <= 0 || l.next <= e.due || e.due > now || s.out[e.number] != nil,
		s.ripen(l, now), len(l.strays) > 0 && l.strays[0].due <= now,
		len(l.buffer) >= maxOffered || s.buffered+e.size > maxBuffered,
		s.heldTo(l) > now:
		return false
	}
	l.read = e.position
	s.take(e)
	s.place(l, now)
	return true
}

// take adds an entry to its line's buffer.
func (s *lines) take(e *entry) {
	s.out[e.number] = e
	s.buffered += e.size
	e.line.buffer = append(e.line.buffer, e)
}

// hold keeps an endpoint or a host back until the given time.
func (s *lines) hold(key string, until, now int64) {
	if until > now && s.holds[key] <= now {
		s.keepBack(key)
	}
	if until > now {
		s.holds[key] = until
	} else if s.holds[key] > now {
		s.holds[key] = now
	}
	if len(s.holds) >= s.sweepAt {
		for k, t := range s.holds {
			if t <= now {
				delete(s.holds, k)
			}
		}
		s.sweepAt = max(1024, 2*len(s.holds))
	}
	if l := s.endpoints[key]; l != nil {
		s.place(l, now)
	}
	if h := s.hosts[key]; h != nil {
		s.placeHost(h, now)
	}
}

// keepBack puts what has been read for an endpoint or a host into the order in which it comes after a hold, or takes it out of
// memory if others need the room. Then it will be read again.
func (s *lines) keepBack(key string) {
	var all []*line
	if l := s.endpoints[key]; l != nil {
		all = append(all, l)
	}
	if h := s.hosts[key]; h != nil {
		for e := h.ready.Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*line))
		}
	}
	inTheWay := s.buffered > maxBuffered/2
	for _, l := range all {
		if !inTheWay {
			slices.SortFunc(l.buffer, byAcceptance)
			continue
		}
		for _, e := range l.buffer {
			delete(s.out, e.number)
			s.buffered -= e.size
			heap.Push(&l.held, e.position)
		}
		l.buffer = nil
	}
}

func byAcceptance(a, b *entry) int { return cmp.Compare(a.number, b.number) }

// turn returns the line whose turn it is to give a message, or nil.
func (s *lines) turn(now int64) *line {
	for len(s.timers) > 0 && s.timers[0].at <= now {
		t := s.timers[0]
		heap.Pop(&s.timers)
		if t.line != nil {
			s.place(t.line, now)
		} else {
			s.placeHost(t.host, now)
		}
	}
	first := s.ready.Front()
	if first == nil {
		return nil
	}
	h := first.Value.(*host)
	l := h.ready.Front().Value.(*line)
	h.ready.MoveToBack(l.turn)
	s.ready.MoveToBack(h.turn)
	return l
}

// wake is when there may be a turn that there isn't now, or never if only a change can bring one.
func (s *lines) wake() int64 {
	if len(s.timers) == 0 {
		return never
	}
	return s.timers[0].at
}

// ripen finds out which strays were due before the end of a hold, and reports whether there is one.
func (s *lines) ripen(l *line, now int64) bool {
	end := min(now, s.heldTo(l))
	for len(l.strays) > 0 && l.strays[0].due <= end {
		heap.Push(&l.held, heap.Pop(&l.strays))
	}
	return len(l.held) > 0
}

// heldTo is when the last hold of a line ends, or has ended.
func (s *lines) heldTo(l *line) int64 { return max(s.holds[l.key], s.holds[l.host.key]) }

// mustLoad reports whether a line whose turn it is has to read its next message: it has none in its buffer, or a stray that
// comes before those.
func (s *lines) mustLoad(l *line, now int64) bool {
	if len(l.buffer) == 0 {
		return true
	}
	return s.ripen(l, now) && l.held[0].number < l.buffer[0].number && l.retryAt <= now
}

// lease gives the next message of a line that has one in its buffer.
func (s *lines) lease(l *line, now int64) *entry {
	e := l.buffer[0]
	l.buffer[0] = nil
	l.buffer = l.buffer[1:]
	s.buffered -= e.size
	l.leased++
	s.place(l, now)
	return e
}

// end ends a lease whose message has ended.
func (s *lines) end(e *entry, now int64) {
	s.settle(e)
	s.place(e.line, now)
}

// putBack ends a lease whose message is pending again, due at the given time.
func (s *lines) putBack(e *entry, due, now int64) {
	s.settle(e)
	heap.Push(&e.line.strays, position{due, e.number})
	s.place(e.line, now)
}

func (s *lines) settle(e *entry) {
	l := e.line
	delete(s.out, e.number)
	l.leased--
	if l.loading { // what is being read may be older
		l.settled = append(l.settled, e.number)
	}
}

// dueAt is when l has a message to give.
func (l *line) dueAt() int64 {
	if len(l.buffer) > 0 {
		return math.MinInt64
	}
	at := l.next
	if len(l.strays) > 0 {
		at = min(at, l.strays[0].due)
	}
	if len(l.held) > 0 {
		at = math.MinInt64
	}
	return max(l.retryAt, at)
}

// place gives a line the place that its condition calls for: among those that may have a turn, or with a timer, or none.
func (s *lines) place(l *line, now int64) {
	h := l.host
	at := max(l.dueAt(), s.holds[l.key])
	switch {
	case l.loading:
		at = never
	case l.dueAt() == never && l.leased == 0:
		delete(s.endpoints, l.key)
		if h.lines--; h.lines == 0 {
			delete(s.hosts, h.key)
		}
	}
	l.turn = enter(&h.ready, l.turn, l, at <= now)
	s.timers.set(&l.timer, at, now)
	s.placeHost(h, now)
}

// placeHost does the same for a host alone.
func (s *lines) placeHost(h *host, now int64) {
	at := int64(never)
	if h.ready.Len() > 0 {
		at = s.holds[h.key]
	}
	h.turn = enter(&s.ready, h.turn, h, at <= now)
	s.timers.set(&h.timer, at, now)
}

// enter puts v, whose element in l is at, at l's end or takes it out, unless it is where it belongs.
func enter(l *list.List, at *list.Element, v any, in bool) *list.Element {
	switch {
	case in && at == nil:
		return l.PushBack(v)
	case !in && at != nil:
		l.Remove(at)
		return nil
	}
	return at
}
