package sqlite

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A world is lines beside what they must not get wrong: a file whose changes can be read before they are made known, and
// readers that take their time.
type world struct {
	t      testing.TB
	choose func(n int) int // one of 0 to n-1
	lines  *lines
	now    int64
	step   int
	msgs   []*msg // by number, from 1
	known  []func()
	loads  []*slowLoad
	out    []*entry // leased, and not being settled
	holds  map[string]int64
	waits  map[string]int // turns that others have had while this host, or endpoint, could have given a message
}

// A msg is a message in the file.
type msg struct {
	position
	host, endpoint string
	pending        bool
	leased         bool // until its settling is committed
	knownAt        int  // step at which the lines knew of it; 0: they don't yet
	takenAt        int  // step since which it may have been on its way into memory
	size           int
	tried          bool // it was put back, or has been read and let go, so it comes by its number
	given          int
}

type slowLoad struct {
	load
	startedAt int   // step
	asOf      int64 // strays that were due by then come by number
	got       *reading
}

func newWorld(t testing.TB, choose func(n int) int) *world {
	return &world{t: t, choose: choose, lines: newLines(), now: 1e6, holds: map[string]int64{}, waits: map[string]int{}}
}

func (w *world) entry(m *msg) *entry {
	return &entry{position: m.position, line: w.lines.line(m.host, m.endpoint), message: signpost.Message{URL: m.endpoint}, size: m.size}
}

// commit has a change made in the file now, and known later, with all others that are committed until then.
func (w *world) commit(known func()) { w.known = append(w.known, known) }

// tell makes known what was committed. The writer begins no other transaction before.
func (w *world) tell() {
	for _, known := range w.known {
		known()
	}
	w.known = nil
}

func (w *world) put(m *msg, offer bool) {
	m.knownAt = w.step
	if l := w.lines.endpoints[m.endpoint]; l != nil && l.loading {
		m.knownAt = math.MaxInt // when the load ends
	}
	e := w.entry(m)
	if offer && w.lines.offer(e, w.now) {
		m.takenAt = w.step
		return
	}
	w.lines.put(e.line, m.position, w.now)
}

func (w *world) enqueue() {
	host := fmt.Sprint("h", w.choose(3))
	m := &msg{host: host, endpoint: fmt.Sprint(host, "/", w.choose(3)), pending: true, size: 1 << w.choose(21)}
	w.msgs = append(w.msgs, m)
	m.position = position{w.now, int64(len(w.msgs))}
	w.commit(func() { w.put(m, true) })
}

// redeliver makes a message pending again that had ended.
func (w *world) redeliver() {
	if len(w.msgs) == 0 {
		return
	}
	m := w.msgs[w.choose(len(w.msgs))]
	if m.pending {
		return
	}
	m.pending, m.due, m.knownAt, m.tried = true, w.now, 0, false
	w.commit(func() { w.put(m, false) })
}

// settle ends a lease, or puts its message back.
func (w *world) settle() {
	if len(w.out) == 0 {
		return
	}
	i := w.choose(len(w.out))
	e := w.out[i]
	w.out = slices.Delete(w.out, i, i+1)
	m := w.msgs[e.number-1]
	if m.knownAt == 0 {
		w.tell() // it isn't settled in the transaction that has put it
	}
	m.leased, m.knownAt = false, 0
	if w.choose(3) == 0 {
		m.pending = false
		w.commit(func() { w.lines.end(e, w.now) })
		return
	}
	m.due = w.now + int64(max(0, w.choose(30)-10))
	m.tried = true
	w.commit(func() {
		m.knownAt = w.step
		w.lines.putBack(e, m.due, w.now)
	})
}

// receive has a turn, as Queue.Receive does. It reports whether there was one.
func (w *world) receive() bool {
	hosts, endpoints := w.able()
	l := w.lines.turn(w.now)
	if l == nil {
		require.Empty(w.t, endpoints, "no turn for them")
		return false
	}
	require.Contains(w.t, endpoints, l.key, "it has a turn and nothing to give")
	require.Equal(w.t, hosts[l.host.key], true)
	// A place in the line is lost when what has it is held, and what has come due since the last turn enters at the back.
	const most = 2 * 3
	for h := range hosts {
		w.waits[h]++
		require.LessOrEqual(w.t, w.waits[h], most, "of 3 hosts one waits for longer than the two others' turns")
	}
	for e := range endpoints {
		if hostOf(e) == l.host.key {
			w.waits[e]++
			require.LessOrEqual(w.t, w.waits[e], most, "of 3 endpoints one waits for longer than the two others' turns")
		}
	}
	delete(w.waits, l.key)
	delete(w.waits, l.host.key)
	if !w.lines.mustLoad(l, w.now) {
		asOf := min(w.now, w.heldTo(l.host.key, l.key))
		if l.retryAt > w.now { // nothing can be read: better another one than none
			asOf = 0
		}
		w.lease(w.lines.lease(l, w.now), asOf, w.step)
	} else {
		w.loads = append(w.loads, &slowLoad{load: w.lines.startLoad(l, 1+w.choose(4), w.now), startedAt: w.step, asOf: min(w.now, w.heldTo(l.host.key, l.key))})
	}
	return true
}

// heldTo is when the last hold of an endpoint ends, or has ended.
func (w *world) heldTo(host, endpoint string) int64 { return max(w.holds[host], w.holds[endpoint]) }

func hostOf(endpoint string) string { return endpoint[:2] }

// able returns the hosts and endpoints that have something to give, or to look for.
func (w *world) able() (hosts, endpoints map[string]bool) {
	hosts, endpoints = map[string]bool{}, map[string]bool{}
	for key, l := range w.lines.endpoints {
		if !l.loading && l.dueAt() <= w.now && w.holds[key] <= w.now && w.holds[l.host.key] <= w.now {
			hosts[l.host.key], endpoints[key] = true, true
		}
	}
	for _, m := range w.msgs { // what is known and due must be among them
		l := w.lines.endpoints[m.endpoint]
		if m.pending && !m.leased && m.knownAt != 0 && m.due <= w.now && w.holds[m.endpoint] <= w.now && w.holds[m.host] <= w.now {
			if l == nil || !endpoints[m.endpoint] && !l.loading && l.retryAt <= w.now {
				w.t.Fatalf("message %+v is lost, its endpoint gives none: %+v", *m, l)
			}
		}
	}
	return hosts, endpoints
}

// lease checks that a message may be leased, and that it is the right one by what was known before a step. Strays that were
// due by asOf come by their number.
func (w *world) lease(e *entry, asOf int64, step int) {
	m := w.msgs[e.number-1]
	require.True(w.t, m.pending, "message %d has ended", m.number)
	require.False(w.t, m.leased, "message %d is leased already", m.number)
	require.LessOrEqual(w.t, m.due, w.now, "message %d is early", m.number)
	require.LessOrEqual(w.t, w.holds[m.endpoint], w.now, "message %d is held with its endpoint", m.number)
	require.LessOrEqual(w.t, w.holds[m.host], w.now, "message %d is held with its host", m.number)
	for _, other := range w.msgs {
		if other.endpoint != m.endpoint || !other.pending || other.leased || other == m || other.knownAt == 0 {
			continue
		}
		afterHold := m.due > w.heldTo(m.host, m.endpoint)
		isFirst := afterHold && m.tried == other.tried && other.knownAt < m.takenAt && other.compare(m.position) < 0
		if other.tried && other.due <= asOf { // however much has been read ahead
			isFirst = other.number < m.number && other.knownAt < step
		}
		if isFirst {
			w.t.Fatalf("message %d at %v is given before %d at %v", m.number, m.position, other.number, other.position)
		}
	}
	m.leased, m.given = true, m.given+1
	w.out = append(w.out, e)
}

// read reads for a load what the file has now, as Queue.read does.
func (w *world) read(ld *slowLoad) {
	got := &reading{read: ld.after, next: ld.next}
	ld.got = got
	for i, p := range ld.strays {
		if i > 0 && w.choose(4) == 0 { // they are large
			got.strays = append(got.strays, ld.strays[i:]...)
			return
		}
		switch m := w.msgs[p.number-1]; {
		case !m.pending:
		case m.due != p.due:
			got.strays = append(got.strays, m.position)
		default:
			got.entries = append(got.entries, w.entry(m))
		}
	}
	if ld.limit == 0 {
		return
	}
	got.next = never
	var row []*msg
	for _, m := range w.msgs {
		if m.pending && m.endpoint == ld.line.key && m.compare(ld.after) > 0 {
			row = append(row, m)
		}
	}
	slices.SortFunc(row, func(a, b *msg) int { return a.compare(b.position) })
	for n, m := range row {
		if n == ld.limit || m.due > ld.through {
			got.next = m.due
			break
		}
		got.read = m.position
		got.entries = append(got.entries, w.entry(m))
	}
}

// goOn lets a load go on: it reads, or ends.
func (w *world) goOn() {
	if len(w.loads) == 0 {
		return
	}
	i := w.choose(len(w.loads))
	ld := w.loads[i]
	if ld.got == nil {
		w.read(ld)
		return
	}
	w.loads = slices.Delete(w.loads, i, i+1)
	for _, m := range w.msgs {
		if m.endpoint == ld.line.key && m.knownAt == math.MaxInt {
			m.knownAt = w.step
		}
	}
	if w.choose(10) == 0 {
		w.lines.failLoad(ld.load, w.now+20, w.now)
		return
	}
	e := w.lines.endLoad(ld.load, *ld.got, w.now)
	for _, read := range ld.got.entries {
		if w.lines.out[read.number] == read {
			w.msgs[read.number-1].takenAt = ld.startedAt
		}
	}
	if e != nil {
		w.lease(e, ld.asOf, ld.startedAt)
	}
}

func (w *world) hold() {
	key := fmt.Sprint("h", w.choose(4)) // h3 is unknown
	if w.choose(2) == 0 {
		key = fmt.Sprint(key, "/", w.choose(3))
	}
	until := w.now + int64(w.choose(40)) - 10
	if until > w.now {
		w.holds[key] = until
	} else {
		w.holds[key] = min(w.holds[key], w.now)
	}
	w.lines.hold(key, until, w.now)
}

// act does something.
func (w *world) act() {
	w.step++
	switch w.choose(16) {
	case 0, 1, 2:
		w.enqueue()
	case 3, 4:
		w.tell()
	case 5, 6, 7, 8:
		w.receive()
	case 9, 10, 11:
		w.goOn()
	case 12, 13:
		w.settle()
	case 14:
		w.now += int64(w.choose(12))
	default:
		switch w.choose(3) {
		case 0:
			w.redeliver()
		default:
			w.hold()
		}
	}
	w.check()
}

// check checks what always holds.
func (w *world) check() {
	hosts, endpoints := w.able()
	for h := range w.waits {
		if !hosts[h] && !endpoints[h] {
			delete(w.waits, h)
		}
	}
	size, inMemory, strays := 0, 0, 0
	for _, l := range w.lines.endpoints {
		for _, e := range l.buffer {
			size += e.size
		}
		inMemory += len(l.buffer) + l.leased
		for _, p := range slices.Concat(l.strays, byPosition(l.held)) {
			if m := w.msgs[p.number-1]; m.position == p {
				m.tried = true
			}
			strays++
		}
	}
	if strays > 2*len(w.msgs) {
		w.t.Fatalf("%d strays of %d messages", strays, len(w.msgs))
	}
	if size != w.lines.buffered || len(w.lines.out) != inMemory {
		w.t.Fatalf("%d messages of %d bytes are in memory, and %d of %d are counted", inMemory, size, len(w.lines.out), w.lines.buffered)
	}
}

// finish has all that is pending given and ended.
func (w *world) finish() {
	for i := 0; ; i++ {
		require.Less(w.t, i, 100000, "it does not come to an end")
		w.step++
		switch {
		case len(w.known) > 0:
			w.tell()
		case len(w.loads) > 0:
			w.goOn()
		case len(w.out) > 0:
			e := w.out[0]
			w.out = w.out[1:]
			w.msgs[e.number-1].pending, w.msgs[e.number-1].leased = false, false
			w.commit(func() { w.lines.end(e, w.now) })
		case w.receive():
		case w.lines.wake() != never:
			require.Greater(w.t, w.lines.wake(), w.now)
			w.now = w.lines.wake()
		default:
			for _, m := range w.msgs {
				require.False(w.t, m.pending, "message %d is lost", m.number)
				require.Positive(w.t, m.given, "message %d was never given", m.number)
			}
			s := w.lines
			assert.Empty(w.t, s.endpoints)
			assert.Empty(w.t, s.hosts)
			assert.Empty(w.t, s.out)
			assert.Empty(w.t, s.timers)
			assert.Zero(w.t, s.ready.Len())
			assert.Zero(w.t, s.buffered)
			return
		}
		w.check()
	}
}

// Whatever the order in which messages are put, read, leased, settled and held, none is lost, early, or leased twice at a
// time, and none waits for more turns of others than there are others.
func TestLinesKeepTheirPromises(t *testing.T) {
	runs := 1000
	if testing.Short() {
		runs = 100
	}
	for range runs {
		seed := rand.Uint64()
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			w := newWorld(t, random.IntN)
			for range 20 + random.IntN(300) {
				w.act()
			}
			w.finish()
		})
		if !ok {
			return
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x03\x05\x09\x09\x0c\x00"))
	f.Add([]byte("\x00\x01\x01\x14\x00\x01\x01\x14\x03\x03\x05\x0f\x01\x01\x00\x01\x27\x05\x0e\x0b\x05\x09\x00\x09\x00\x01"))
	f.Add([]byte("\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x05\x00\x09\x00\x03\x09\x00\x01\x0c\x00\x01\x03\x05\x05\x09\x0c\x00\x02\x1d"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 2000 {
			return
		}
		w := newWorld(t, func(n int) int {
			if len(choices) == 0 {
				return n / 2
			}
			c := int(choices[0]) % n
			choices = choices[1:]
			return c
		})
		for len(choices) > 0 {
			w.act()
		}
		w.finish()
	})
}
