package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func queueFull(t *testing.T) {
	s := newScene(t, signpost.WithQueueSize(1000))
	dead, _ := newDead(s)
	n := fill(s, dead+"/1", []byte(`{}`))
	assert.Equal(t, 667, n, "an endpoint holds at most twice the free room")
	n += fill(s, dead+"/2", []byte(`{}`))
	assert.Equal(t, 800, n, "a host four times")
	before := s.d.Stats()
	s.toNeighbour(100)
	for range 100 {
		_, err := s.d.Send(ctx, dead+"/3", 1)
		assert.ErrorIs(t, err, signpost.ErrQueueFull)
	}
	s.onlyMore(before, 200)
	assert.Equal(t, n, s.host(dead).Queued+s.host(dead).Waiting+s.host(dead).InFlight)
}

func queueFullOfBytes(t *testing.T) {
	const size, room = 16 << 10, 4 << 20
	s := newScene(t, signpost.WithQueueBytes(room), signpost.WithMaxPayload(size))
	dead, _ := newDead(s)
	payload := append(make([]byte, 0, size), `{}`...)
	for len(payload) < size {
		payload = append(payload, ' ')
	}
	n := fill(s, dead, payload)
	assert.InDelta(t, room/size*2/3, n, 1, "an endpoint holds at most twice the free room")
	before := s.d.Stats()
	assert.EqualValues(t, n*size, before.Bytes)
	for range 20 {
		_, err := s.d.Send(ctx, dead, payload)
		assert.ErrorIs(t, err, signpost.ErrQueueFull)
		id, err := s.d.Send(ctx, s.neighbour.URL, payload)
		require.NoError(t, err)
		s.ledger.Accept(id)
		s.ends(id)
	}
	s.onlyMore(before, 20)

	s.wait("the room of the last message", func() bool { return s.d.Stats().Bytes == before.Bytes })
	for range 8 {
		another, _ := newDead(s)
		fill(s, another, payload)
	}
	assert.EqualValues(t, room, s.d.Stats().Bytes, "to the last byte, and not beyond")
}

func backpressure(t *testing.T) {
	s := newScene(t, signpost.WithQueueSize(30), signpost.WithBackpressure(), signpost.WithRateLimit(rate.Inf, 0))
	dead, h := newDead(s)
	var ids []string
	for range 20 { // twice the free room
		ids = append(ids, s.sendOnly(dead))
	}
	before := s.d.Stats()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	id, err := s.d.Send(short, dead, 1)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Empty(t, id)

	waiting, giveUp := context.WithCancel(ctx)
	defer giveUp()
	gaveUp := make(chan error, 5)
	for range 5 {
		go func() {
			_, err := s.d.Send(waiting, dead, 1)
			gaveUp <- err
		}()
	}
	admitted := make(chan string, 5)
	for range 5 {
		go func() {
			id, err := s.d.Send(ctx, dead, 1)
			assert.NoError(t, err)
			admitted <- id
		}()
	}
	s.toNeighbour(20)
	giveUp()
	for range 5 {
		assert.ErrorIs(t, receive(t, "a Send that gives up", gaveUp), context.Canceled)
	}
	assert.Empty(t, admitted)
	s.onlyMore(before, 40)

	h.letGo()
	for range 5 {
		id := receive(t, "a Send that waits for room", admitted)
		s.ledger.Accept(id)
		ids = append(ids, id)
	}
	for _, id := range ids {
		assert.Equal(t, signpost.Delivered, s.ends(id)[0].State)
	}
}

// newDead is a receiver that answers nothing until it is let go.
func newDead(s *scene) (url string, h *hold) {
	h = newHold(s.t)
	return newHandler(s, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		h.wait(r.Context())
	}), h
}

// fill sends until the queue is full, and returns how many were accepted.
func fill(s *scene, url string, payload any) (n int) {
	s.t.Helper()
	for {
		id, err := s.d.Send(ctx, url, payload)
		if err != nil {
			require.ErrorIs(s.t, err, signpost.ErrQueueFull)
			require.Empty(s.t, id)
			return n
		}
		s.ledger.Accept(id)
		n++
	}
}

// onlyMore checks that since before so many messages were accepted, and that all of them have ended.
func (s *scene) onlyMore(before signpost.Stats, more uint64) {
	s.t.Helper()
	now := s.d.Stats()
	assert.Equal(s.t, before.Accepted+more, now.Accepted)
	assert.Equal(s.t, before.Delivered+more, now.Delivered)
	assert.Equal(s.t, before.Queued+before.Waiting+before.InFlight, now.Queued+now.Waiting+now.InFlight)
}

func manyHosts(t *testing.T) {
	out, err := child(t, "manyHosts").CombinedOutput()
	require.NoError(t, err, "%s", out)
	s := newScene(t)
	s.toNeighbour(1)
}

// manyHostsChild runs in a process of its own, because memory and goroutines are the process's, and in a bubble, because
// workers stay for some idle seconds.
func manyHostsChild(t *testing.T) {
	const hosts = manyHostsCount
	synctest.Test(t, func(t *testing.T) {
		answer := func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
		}
		d, err := signpost.New(signpost.WithoutSigning(), quiet, signpost.WithBackpressure(), signpost.WithWorkers(4),
			signpost.WithTransport(func(http.RoundTripper) http.RoundTripper { return roundTrip(answer) }))
		require.NoError(t, err)
		defer d.Close()
		heap, goroutines := inUse(), runtime.NumGoroutine()
		for i := range hosts {
			_, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/", i), []byte(`{}`))
			require.NoError(t, err)
		}
		synctest.Wait()
		assert.EqualValues(t, hosts, d.Stats().Delivered)
		assert.Equal(t, hosts, d.Stats().Hosts, "so that there is something to forget")
		assert.Greater(t, inUse(), heap+hosts*500, "the same")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Zero(t, d.Stats().Hosts)
		assert.Less(t, inUse(), heap+hosts*80)
		assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines+3)
	})
}

// inUse is how many bytes are in use on the heap.
func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what pools held is freed by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
