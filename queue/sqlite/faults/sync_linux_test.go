package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// A syncScene is what the children need to know that strace runs.
type syncScene struct{ Path, Log string }

// newSyncScene makes a queue, without strace, so that Open has little to do under it.
func newSyncScene(t *testing.T) syncScene {
	s := syncScene{Path: newPath(t), Log: t.TempDir() + "/calls"}
	q := newQueue(t, s.Path)
	works(t, q)
	require.NoError(t, q.Close())
	return s
}

// slowSync has every fsync take 200 ms. How much is written is told by how often that is waited for.
func slowSync(t *testing.T) {
	if !isChild() {
		s := newSyncScene(t)
		c := newChild(t, s, strace(t, syncs+":delay_enter=200000", s.Log)...)
		c.start()
		t.Log(c.passes())
		return
	}
	obeyParent(func() { os.Exit(3) })
	s := setting[syncScene](t)
	q := newQueue(t, s.Path)
	count := 0
	message := func(host string) *signpost.Message {
		count++
		return newMessage(host, fmt.Sprint("m", count), 1000)
	}
	const nowhere = "https://nowhere.example"

	before := s.count(t)
	for range 5 {
		require.NoError(t, q.Enqueue(ctx, message(nowhere)))
	}
	lone := s.count(t) - before
	assert.GreaterOrEqual(t, lone, 5, "a lone Enqueue waits for the disk")
	assert.LessOrEqual(t, lone, 7, "once; path-wal begins anew now and then")

	before = s.count(t)
	var all sync.WaitGroup
	for p := range 64 {
		all.Go(func() {
			for n := range 4 {
				assert.NoError(t, q.Enqueue(ctx, newMessage(nowhere, fmt.Sprintf("p%d-n%d", p, n), 1000)))
			}
		})
	}
	all.Wait()
	many := s.count(t) - before
	assert.LessOrEqual(t, many, 256/4, "producers share the wait")

	honoured := false
	for range 50 {
		before := s.count(t)
		first := make(chan error, 1)
		m, late := message(nowhere), message(nowhere)
		go func() { first <- q.Enqueue(ctx, m) }()
		for s.count(t) == before { // until the first is being written
			time.Sleep(time.Millisecond)
		}
		short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		err := q.Enqueue(short, late)
		cancel()
		inTime := len(first) == 0
		require.NoError(t, <-first)
		if inTime {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			honoured = true
			break
		}
	}
	assert.True(t, honoured, "a context is honoured while the disk is waited for")

	secret := signpost.NewSecret()
	var msgs []*signpost.Message
	var receivers []*receiver
	for range 20 {
		r := newReceiver(t, secret, ok)
		receivers = append(receivers, r)
		for range 5 {
			msgs = append(msgs, message(r.URL))
		}
	}
	another := newQueue(t, s.Path+"2")
	before = s.count(t)
	require.NoError(t, another.Enqueue(ctx, msgs...))
	d := newDispatcher(t, another, secret)
	for _, r := range receivers {
		r.wait(5)
	}
	drained(t, openRaw(t, s.Path+"2"))
	delivered := s.count(t) - before
	assert.Less(t, delivered, len(msgs)/2, "outcomes share the wait, too")

	before = s.count(t)
	over, cancel := context.WithCancel(ctx)
	cancel()
	d.Shutdown(over)
	shutdown := s.count(t) - before
	assert.LessOrEqual(t, shutdown, 16)

	accepted := make(chan string, 64)
	before = s.count(t)
	for p := range 64 {
		all.Go(func() {
			m := newMessage(nowhere, fmt.Sprint("c", p), 1000)
			if err := q.Enqueue(ctx, m); err == nil {
				accepted <- m.ID
			} else {
				assert.ErrorIs(t, err, sqlite.ErrClosed)
			}
		})
	}
	for s.count(t) == before {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, q.Close())
	closed := s.count(t) - before
	assert.LessOrEqual(t, closed, 10, "Close waits for what is being written, and for bringing it into the file")
	all.Wait()
	close(accepted)
	db := openRaw(t, s.Path)
	for id := range accepted {
		isThere(t, db, id)
	}
	t.Logf("fsync was waited for %d times by 5 lone messages, %d by 256 of 64 producers, %d by delivering %d, %d by Shutdown, "+
		"%d by Close", lone, many, delivered, len(msgs), shutdown, closed)
}

// count is how often fsync was called. strace has written a call down when it lets it go on.
func (s syncScene) count(t *testing.T) int {
	b, err := os.ReadFile(s.Log)
	require.NoError(t, err)
	return strings.Count(string(b), "fsync(") + strings.Count(string(b), "fdatasync(")
}

// failingCalls has system calls of a service return errors, and kills it in the end.
func failingCalls(inject string) func(*testing.T) {
	return func(t *testing.T) {
		if isChild() {
			amongFailingCalls(t, setting[syncScene](t))
			return
		}
		s := newSyncScene(t)
		c := newChild(t, s, strace(t, inject, s.Log)...)
		c.start()
		c.wait()
		require.False(t, c.ProcessState.Exited(), "the child has not come to its end: %s", c.output())
		q := newQueue(t, s.Path)
		db := openRaw(t, s.Path)
		isSound(t, db)
		accepted, refused := 0, 0
		for line := range strings.Lines(c.output()) {
			switch what, id, _ := strings.Cut(strings.TrimSpace(line), " "); what {
			case "accepted":
				accepted++
				isThere(t, db, id)
			case "refused":
				refused++
			}
		}
		t.Logf("%d accepted, %d refused", accepted, refused)
		assert.NotZero(t, refused, "so that something has failed")
		assert.Equal(t, failingEnough, accepted)
		works(t, q)
	}
}

// failingEnough is how many messages must be accepted in the end.
const failingEnough = 150

func amongFailingCalls(t *testing.T, s syncScene) {
	obeyParent(func() { os.Exit(3) })
	q, err := sqlite.Open(ctx, s.Path, sqlite.WithLogger(quiet))
	for tries := 0; err != nil && tries < 200; tries++ {
		require.ErrorContains(t, err, s.Path)
		q, err = sqlite.Open(ctx, s.Path, sqlite.WithLogger(quiet))
	}
	require.NoError(t, err)
	secret := signpost.NewSecret()
	r := newReceiver(t, secret, ok)
	d := newDispatcher(t, q, secret)
	accepted := 0
	for n := 0; accepted < failingEnough; n++ {
		require.Less(t, n, 10*failingEnough)
		m := newMessage(r.URL, fmt.Sprint("m", n), 3000)
		if err := d.Enqueue(ctx, m); err != nil {
			require.ErrorContains(t, err, s.Path)
			say("refused " + m.ID)
			continue
		}
		accepted++
		say("accepted " + m.ID)
	}
	r.wait(accepted) // one that was refused may come as well
	if !t.Failed() {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}
