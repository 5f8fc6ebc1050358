package faults

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A failure is what an attempt looks like that calls for another one.
type failure struct {
	status int   // of the answer; 0: there is an error instead
	is     error // what the error wraps; nil: any
	host   bool  // it counts against the host as well
	deaf   bool  // the receiver doesn't read, so it can't see that its connection was closed
}

// retried is a receiver that misbehaves twice, and then answers with 200. The last answer waits until the test has seen
// what the first two have shown of the host.
func retried(bad script, want failure) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t)
		look := make(chan struct{})
		r := newRawReceiver(s, bad, bad, answerOKAfter(look))
		id := s.send(hook(r))
		want.check(s, r, s.tried(id, 2)[:2])
		close(look)
		os := s.ends(id)
		assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
		assert.Equal(t, 200, os[len(os)-1].Attempt.StatusCode)
		want.checkConnections(s, r, len(os))
	}
}

// timedOut is retried for a receiver that never comes to an end. On a slow machine a good answer may take too long as
// well, so no more than the first two attempts is certain.
func timedOut(bad script, want failure) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t, signpost.WithTimeout(shortTimeout))
		look := make(chan struct{})
		r := newRawReceiver(s, append([]script{bad, bad}, repeat(20, answerOKAfter(look))...)...)
		id := s.send(hook(r))
		os := s.tried(id, 2)[:2]
		want.check(s, r, os)
		for _, o := range os {
			assert.GreaterOrEqual(t, o.Attempt.Duration, shortTimeout)
		}
		close(look)
		os = s.ends(id)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
		want.checkConnections(s, r, len(os))
	}
}

// shortTimeout is for faults that last until the attempt's time is over.
const shortTimeout = 300 * time.Millisecond

// check checks attempts, and what they have shown of the receiver's host. It must not have been tried successfully.
func (want failure) check(s *scene, r *rawReceiver, os []signpost.Outcome) {
	s.t.Helper()
	for i, o := range os {
		assert.Equal(s.t, signpost.Retrying, o.State)
		assert.Equal(s.t, i+1, o.Attempt.Number)
		assert.Equal(s.t, want.status, o.Attempt.StatusCode, "%v", o.Attempt.Err)
		assert.LessOrEqual(s.t, len(o.Attempt.Body), 16<<10)
		if want.status != 0 {
			assert.NoError(s.t, o.Attempt.Err)
			continue
		}
		checkError(s.t, o.Attempt.Err)
		if want.is != nil {
			assert.ErrorIs(s.t, o.Attempt.Err, want.is)
		}
	}
	checkHost(s, r.URL, want.host)
}

// checkHost checks whether failures count against a host. One that fails may have one attempt in flight.
func checkHost(s *scene, url string, failing bool) {
	s.t.Helper()
	h := statsOf(s, url)
	window := newHostWindow
	if failing {
		window = 1
	}
	assert.Equal(s.t, window, h.Window, "the host's window")
	checkError(s.t, h.LastError)
}

// newHostWindow is how many attempts may be in flight at a host that nothing is known of.
const newHostWindow = 4

// checkError checks that an error has a text that shows nothing of the URL's query.
func checkError(t *testing.T, err error) {
	t.Helper()
	if assert.Error(t, err) {
		assert.NotContains(t, err.Error(), token)
		assert.Less(t, len(err.Error()), 1000)
	}
}

// checkConnections checks that no attempt has opened more than one connection, and that those that can't be used
// again are closed.
func (want failure) checkConnections(s *scene, r *rawReceiver, attempts int) {
	s.t.Helper()
	connections, requests := r.counts()
	assert.LessOrEqual(s.t, connections, attempts)
	assert.LessOrEqual(s.t, requests, attempts)
	if !want.deaf {
		waitForClosed(s, r, 1)
	}
}

// accepted is a receiver that takes a message for delivered, but says so in an odd way. The connection must be closed
// if closes is set, and the next message must get its own answer, which is a 500 before the 200.
func accepted(odd script, status int, closes bool) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t)
		r := newRawReceiver(s, odd, raw(statusLine(500)+noBody))
		os := s.ends(s.send(hook(r)))
		require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
		assert.Equal(t, status, os[0].Attempt.StatusCode)
		assert.NoError(t, os[0].Attempt.Err)
		assert.LessOrEqual(t, len(os[0].Attempt.Body), 16<<10)
		if closes {
			waitForClosed(s, r, 0)
		}
		os = s.ends(s.send(hook(r)))
		require.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
		assert.Equal(t, 500, os[0].Attempt.StatusCode)
		assert.Equal(t, 200, os[1].Attempt.StatusCode)
		if connections, _ := r.counts(); closes {
			assert.GreaterOrEqual(t, connections, 2)
		}
		assert.Zero(t, s.ledger.Balance().Duplicates)
	}
}

// token is in the query of every URL. No error may show it.
const token = "the-receivers-token"

func hook(r *rawReceiver) string { return r.URL + "/hook?token=" + token }

// noBody ends an answer.
const noBody = "Content-Length: 0\r\n\r\n"

// statsOf returns what the dispatcher knows of the host of a URL without a path.
func statsOf(s *scene, url string) signpost.HostStats {
	s.t.Helper()
	for _, h := range s.d.Hosts() {
		if "http://"+h.Host == url {
			return h
		}
	}
	require.FailNow(s.t, "the host is not known")
	return signpost.HostStats{}
}

// waitForClosed waits until no more than n of a receiver's connections are open.
func waitForClosed(s *scene, r *rawReceiver, n int) {
	s.t.Helper()
	s.wait("the end of connections", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.conns) <= n
	})
}

// answerOKAfter answers with 200 once a channel is closed.
func answerOKAfter(ready <-chan struct{}) script {
	return reads(func(c *rawConn) {
		awaitIn(c, ready)
		c.answerOK()
	})
}

// await waits for a word from a script.
func await(s *scene, word <-chan struct{}) {
	s.t.Helper()
	select {
	case <-word:
	case <-time.After(patience):
		require.FailNow(s.t, "waited in vain for a receiver")
	}
}

// awaitIn lets a script wait for a word from its test.
func awaitIn(c *rawConn, word <-chan struct{}) {
	select {
	case <-word:
	case <-c.r.done:
	}
}

// answerOK takes a request that was read for delivered, and says so.
func (c *rawConn) answerOK() {
	c.handle()
	c.write(statusLine(200) + noBody)
	c.keep()
}

// arrivals are the requests that have come to a receiver.
type arrivals struct {
	mu  sync.Mutex
	all []arrival
}

type arrival struct {
	path   string
	header http.Header
	at     time.Time
	number int // of those with the same path, from 1
}

// answering keeps a record of each request that it reads, and lets answer answer it.
func (vs *arrivals) answering(answer func(c *rawConn, v arrival)) script {
	return reads(func(c *rawConn) {
		v := arrival{path: c.request.URL.Path, header: c.request.Header, at: time.Now(), number: 1}
		vs.mu.Lock()
		for _, other := range vs.all {
			if other.path == v.path {
				v.number++
			}
		}
		vs.all = append(vs.all, v)
		vs.mu.Unlock()
		answer(c, v)
	})
}

// of returns the requests with a path.
func (vs *arrivals) of(path string) (some []arrival) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	for _, v := range vs.all {
		if v.path == path {
			some = append(some, v)
		}
	}
	return some
}
