package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// damages are faults of what is in the file.
var damages = []fault{
	{"a file that was cut short",
		"Open returns `ErrDamaged` or `ErrNotQueue`. Only a file of no more than one byte is taken for a new one.", cutShort},
	{"a file that was cut short, beside its path-wal",
		"The same, unless path-wal has what is missing.", cutShortBesideWAL},
	{"path-wal that was cut short or is missing", "What is not in it any more is lost; all that was accepted before comes.", cutWAL},
	{"a bit that has flipped in the file",
		"Open or Receive return an error that names the file, or the message is put aside as damaged. No message is ever sent that isn't " +
			"the one that was accepted. Others come as if nothing was, as far as SQLite can still read them.", flipsInFile(1)},
	{"bytes that have changed in the file", "The same.", flipsInFile(8)},
	{"a bit that has flipped in path-wal",
		"The transaction that it belongs to, and all later ones, are lost. All that was accepted before comes.", flipsInWAL},
}

// A specimen is a file with messages that are known, as bytes.
type specimen struct {
	main, wal []byte
	messages  map[string]*signpost.Message // pending ones
	order     []string                     // in which they were accepted
	walSizes  []int                        // after each
}

// newSpecimen makes a file with n pending messages, and some that have ended. It is closed in order, or left as a kill would
// leave it.
func newSpecimen(t *testing.T, n int, closed bool) *specimen {
	path := newPath(t)
	q := newQueue(t, path)
	s := &specimen{messages: map[string]*signpost.Message{}}
	for i := range 10 {
		require.NoError(t, q.Enqueue(ctx, newMessage("https://ended.example", fmt.Sprint("e", i), 100)))
		require.NoError(t, settle(receiveOne(t, q)))
	}
	require.NoError(t, q.Close())
	q = newQueue(t, path)
	for i := range n {
		size := 20 + 10*i
		if i%10 == 9 {
			size = 10_000 // pages of its own
		}
		m := newMessage(fmt.Sprintf("https://h%d.example", i%3), fmt.Sprint("m", i), size)
		s.messages[m.ID] = m
		s.order = append(s.order, m.ID)
		require.NoError(t, q.Enqueue(ctx, m))
		info, err := os.Stat(path + "-wal")
		require.NoError(t, err)
		s.walSizes = append(s.walSizes, int(info.Size()))
	}
	if closed {
		require.NoError(t, q.Close())
	}
	var err error
	s.main, err = os.ReadFile(path)
	require.NoError(t, err)
	if !closed {
		s.wal, err = os.ReadFile(path + "-wal")
		require.NoError(t, err)
		require.Len(t, s.wal, s.walSizes[n-1])
		require.NoError(t, q.Close())
	}
	return s
}

// A finding is what came of opening a damaged file.
type finding struct {
	opened error           // by Open
	failed []error         // by Receive
	got    map[string]bool // messages, all right
	wrong  error           // a message that isn't what it was
}

// examine opens a file and receives what is pending in it, as long as the next message comes within a time. It must neither panic
// nor hang.
func (s *specimen) examine(t *testing.T, main, wal []byte, idle time.Duration) finding {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if !assert.NoError(t, err) {
		return finding{}
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "queue.db")
	assert.NoError(t, os.WriteFile(path, main, 0o600))
	if wal != nil {
		assert.NoError(t, os.WriteFile(path+"-wal", wal, 0o600))
	}
	found := make(chan finding, 1)
	go func() { found <- s.receive(path, idle) }()
	select {
	case f := <-found:
		for _, err := range append(f.failed, f.opened) {
			if err != nil {
				assert.ErrorContains(t, err, path, "it says which file")
			}
		}
		return f
	case <-time.After(2 * patience):
		assert.Fail(t, "it hangs")
		return finding{}
	}
}

func (s *specimen) receive(path string, idle time.Duration) finding {
	f := finding{got: map[string]bool{}}
	q, err := sqlite.Open(ctx, path, sqlite.WithLogger(quiet))
	if err != nil {
		f.opened = err
		return f
	}
	defer q.Close()
	pending := s.pending(path)
	var leases []signpost.Lease
	for len(f.got) < pending && len(f.failed) < 100 && len(leases) < 2*len(s.messages) {
		short, cancel := context.WithTimeout(ctx, idle)
		l, err := q.Receive(short)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			break // nothing more comes
		}
		if err != nil {
			f.failed = append(f.failed, err)
			continue
		}
		leases = append(leases, l)
		m := l.Message()
		if err := checkMessage(s.messages[m.ID], m); err != nil {
			f.wrong = err
			break
		}
		f.got[m.ID] = true
	}
	for _, l := range leases { // whatever comes of it
		settle(l)
	}
	q.Enqueue(ctx, newMessage("https://h0.example", "new", 100))
	return f
}

// pending is how many messages are pending, if another program is asked. All are if it can't tell.
func (s *specimen) pending(path string) (n int) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return len(s.messages)
	}
	defer db.Close()
	if err := db.QueryRow("SELECT count(*) FROM messages NOT INDEXED WHERE state = 'pending'").Scan(&n); err != nil {
		return len(s.messages)
	}
	return n
}

// A damaged message never comes: so long it is waited for. A sound file's all come, however long it takes.
const briefly = 100 * time.Millisecond

// flipsInFile changes n bits of a file that was closed in order, at random, many times.
func flipsInFile(n int) func(*testing.T) {
	return func(t *testing.T) {
		s := newSpecimen(t, 40, true)
		var refused, failed, missing, others atomic.Int64
		randomly(t, (1000/n+200)/slowness, func(random *rand.Rand) {
			main := append([]byte(nil), s.main...)
			var where []string
			at := random.IntN(len(main))
			if random.IntN(2) == 0 { // what stands in the first bytes of a page rules the rest of it
				at = at/4096*4096 + random.IntN(110)
			}
			for range n {
				bit := byte(1) << random.IntN(8)
				if n > 1 {
					bit = byte(1 + random.IntN(255))
				}
				main[at] ^= bit
				where = append(where, fmt.Sprintf("%d^%#x", at, bit))
				at = (at + 1 + random.IntN(4)) % len(main)
			}
			f := s.examine(t, main, nil, briefly)
			assert.NoError(t, f.wrong, "after %s", strings.Join(where, " "))
			switch {
			case f.opened != nil:
				refused.Add(1)
			case len(f.failed) > 0:
				failed.Add(1)
			case len(f.got) < len(s.messages):
				missing.Add(1)
				others.Add(int64(len(s.messages) - len(f.got) - 1))
			}
		})
		t.Logf("in %d bytes: %d times Open has failed, %d times Receive; %d times a message was put aside or not found, "+
			"%d more had not come by then",
			len(s.main), refused.Load(), failed.Load(), missing.Load(), others.Load())
	}
}

// atOnce calls once with 0 to n-1, many at a time: most of the time they wait for a message that doesn't come.
func atOnce(n int, once func(i int)) {
	turns := make(chan int)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range turns {
				once(i)
			}
		})
	}
	for i := range n {
		turns <- i
	}
	close(turns)
	all.Wait()
}

// randomly does the same with a source of random numbers for each.
func randomly(t *testing.T, n int, once func(*rand.Rand)) {
	random := newRand(t)
	a, b := random.Uint64(), random.Uint64()
	atOnce(n, func(i int) { once(rand.New(rand.NewPCG(a, b+uint64(i)))) })
}

// flipsInWAL changes a bit in what a killed process has left.
func flipsInWAL(t *testing.T) {
	s := newSpecimen(t, 40, false)
	var came atomic.Int64
	const times = 400 / slowness
	randomly(t, times, func(random *rand.Rand) {
		wal := append([]byte(nil), s.wal...)
		at, bit := random.IntN(len(wal)), byte(1)<<random.IntN(8)
		wal[at] ^= bit
		f := s.examine(t, s.main, wal, patience)
		if assert.NoError(t, f.wrong, "after %d^%#x", at, bit) && assert.NoError(t, f.opened) {
			s.isPrefix(t, f, at)
			came.Add(int64(len(f.got)))
		}
	})
	t.Logf("of %d messages in %d bytes %.1f have come on average", len(s.order), len(s.wal), float64(came.Load())/times)
}

// isPrefix asserts that what was found is all that was accepted up to some message, and at least until path-wal had the given
// size.
func (s *specimen) isPrefix(t *testing.T, f finding, size int) {
	assert.Empty(t, f.failed)
	for i, id := range s.order {
		if i < len(f.got) {
			assert.True(t, f.got[id], "message %d of %d that have come", i, len(f.got))
		} else {
			assert.Greater(t, s.walSizes[i], size, "message %d is in the part that is sound", i)
		}
	}
}

// cutWAL cuts what a killed process has left of path-wal.
func cutWAL(t *testing.T) {
	s := newSpecimen(t, 40, false)
	sizes := []int{0, 1, 31, 32, 33, len(s.wal) - 1, len(s.wal)}
	for i := 32; i < len(s.wal); i += 7 * (4096 + 24) { // frames
		sizes = append(sizes, i, i+24, i+2000)
	}
	atOnce(len(sizes), func(i int) {
		size := min(sizes[i], len(s.wal))
		f := s.examine(t, s.main, s.wal[:size], patience)
		assert.NoError(t, f.wrong, "%d bytes", size)
		assert.NoError(t, f.opened, "%d bytes", size)
		s.isPrefix(t, f, size)
	})
	f := s.examine(t, s.main, nil, patience)
	require.NoError(t, f.opened)
	require.Empty(t, f.got)
}

// cuts are lengths to which a file is cut.
func (s *specimen) cuts() []int {
	sizes := []int{2, 15, 16, 17, 50, 99, 100, 101, 511, 512, len(s.main) - 1}
	for page := 0; page < len(s.main); page += 4096 {
		sizes = append(sizes, page+2048)
		if page > 0 {
			sizes = append(sizes, page, page+1)
		}
	}
	return sizes
}

func cutShort(t *testing.T) {
	s := newSpecimen(t, 40, true)
	for _, size := range s.cuts() {
		f := s.examine(t, s.main[:size], nil, briefly)
		require.NoError(t, f.wrong, "%d bytes", size)
		require.Error(t, f.opened, "%d bytes", size)
		require.True(t, errors.Is(f.opened, sqlite.ErrDamaged) || errors.Is(f.opened, sqlite.ErrNotQueue), "%d bytes: %v", size, f.opened)
	}
	for size := range 2 {
		f := s.examine(t, s.main[:size], nil, briefly)
		require.NoError(t, f.opened, "a file of %d bytes is a new one", size)
		require.Empty(t, f.got)
	}
}

func cutShortBesideWAL(t *testing.T) {
	s := newSpecimen(t, 40, false)
	refused, whole := 0, 0
	for _, size := range append(s.cuts(), 0, 1) {
		f := s.examine(t, s.main[:size], s.wal, patience)
		require.NoError(t, f.wrong, "%d bytes", size)
		switch {
		case f.opened != nil:
			refused++
			require.True(t, errors.Is(f.opened, sqlite.ErrDamaged) || errors.Is(f.opened, sqlite.ErrNotQueue), "%d bytes: %v", size, f.opened)
		case len(f.failed) > 0:
			refused++
		default:
			whole++
			require.Len(t, f.got, len(s.messages), "%d bytes", size)
		}
	}
	t.Logf("of %d files %d were refused, and %d were made whole", refused+whole, refused, whole)
}
