package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// checkHeader is a header of every message.
const checkHeader = "X-Check"

// newMessage makes a message whose whole content follows from its ID and the URL of its host, so that whoever gets one
// can tell whether it is right. Its endpoint is one of eight.
func newMessage(host, id string, size int) *signpost.Message {
	sum := sha256.Sum256([]byte(id))
	text := hex.EncodeToString(sum[:])
	payload := fmt.Sprintf(`{"id":%q,"fill":%q}`, id, strings.Repeat(text, 1+size/len(text))[:size])
	return &signpost.Message{
		ID: id, URL: fmt.Sprintf("%s/%d?id=%s", host, sum[0]%8, id), Payload: []byte(payload), Header: http.Header{checkHeader: {text}},
		CreatedAt: time.UnixMilli(time.Now().UnixMilli()),
	}
}

// checkMessage says what is wrong with a message, in comparison with how it was made.
func checkMessage(want, m *signpost.Message) error {
	switch {
	case want == nil:
		return fmt.Errorf("message %q was never enqueued", m.ID)
	case m.ID != want.ID || m.URL != want.URL:
		return fmt.Errorf("message %q to %q instead of %q to %q", m.ID, m.URL, want.ID, want.URL)
	case !bytes.Equal(m.Payload, want.Payload):
		return fmt.Errorf("message %q: payload %.100q instead of %.100q", m.ID, m.Payload, want.Payload)
	case fmt.Sprint(m.Header) != fmt.Sprint(want.Header):
		return fmt.Errorf("message %q: header %v instead of %v", m.ID, m.Header, want.Header)
	case !m.CreatedAt.Equal(want.CreatedAt):
		return fmt.Errorf("message %q: created at %v instead of %v", m.ID, m.CreatedAt, want.CreatedAt)
	}
	return nil
}

// A receiver verifies what arrives, and enters it.
type receiver struct {
	t        testing.TB
	URL      string
	verifier *signpost.Verifier

	mu       sync.Mutex // protects the following fields
	arrivals []arrival
	more     chan struct{} // closed, and replaced, when there is one more
}

// An arrival is a request that has come as a whole.
type arrival struct {
	id     string
	err    error // what is wrong with it
	status int   // 0: no answer
}

// newReceiver starts a receiver that answers each message with the status that answer says, or not at all if that is 0.
func newReceiver(t testing.TB, secret signpost.Secret, answer func(id string) int) *receiver {
	t.Helper()
	verifier, err := signpost.NewVerifier(secret)
	require.NoError(t, err)
	r := &receiver{t: t, verifier: verifier, more: make(chan struct{})}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // it broke off: nothing has arrived
		}
		id := req.Header.Get("Webhook-Id")
		a := arrival{id: id, err: r.check(req, body)}
		if a.status = answer(id); a.err != nil {
			a.status = http.StatusUnauthorized
		}
		r.enter(a)
		if a.status == 0 {
			<-req.Context().Done()
			return
		}
		w.WriteHeader(a.status)
	}))
	r.URL = "http://" + srv.Listener.Addr().String()
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return r
}

func ok(string) int { return 200 }

// check says what is wrong with a request.
func (r *receiver) check(req *http.Request, body []byte) error {
	if err := r.verifier.Verify(req.Header, body); err != nil {
		return err
	}
	id := req.Header.Get("Webhook-Id")
	want := newMessage(r.URL, id, max(0, len(body)-len(newMessage("", id, 0).Payload)))
	to, err := url.Parse(want.URL)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(body, want.Payload):
		return fmt.Errorf("message %q: payload %.100q instead of %.100q", id, body, want.Payload)
	case req.Host != to.Host || req.RequestURI != to.RequestURI():
		return fmt.Errorf("message %q has come to %s%s instead of %s", id, req.Host, req.RequestURI, want.URL)
	case req.Header.Get(checkHeader) != want.Header.Get(checkHeader):
		return fmt.Errorf("message %q: header %q instead of %q", id, req.Header.Get(checkHeader), want.Header.Get(checkHeader))
	}
	return nil
}

func (r *receiver) enter(a arrival) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arrivals = append(r.arrivals, a)
	close(r.more)
	r.more = make(chan struct{})
}

// wait waits for n arrivals and returns how often each message has come. None may be wrong.
func (r *receiver) wait(n int) map[string]int {
	r.t.Helper()
	over := time.After(patience)
	for {
		r.mu.Lock()
		arrivals, more := r.arrivals, r.more
		r.mu.Unlock()
		if len(arrivals) >= n {
			came := map[string]int{}
			for _, a := range arrivals {
				require.NoError(r.t, a.err)
				came[a.id]++
			}
			return came
		}
		select {
		case <-more:
		case <-over:
			require.FailNow(r.t, "waited in vain", "for %d arrivals, %d have come", n, len(arrivals))
		}
	}
}

// newQueue opens a queue that is closed when the test ends.
func newQueue(t testing.TB, path string) *sqlite.Queue {
	t.Helper()
	q, err := sqlite.Open(ctx, path, sqlite.WithLogger(quiet))
	require.NoError(t, err)
	t.Cleanup(func() { q.Close() })
	return q
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "queue.db") }

// newDispatcher starts a dispatcher on loopback that retries soon, and is closed when the test ends.
func newDispatcher(t testing.TB, q signpost.Queue, secret signpost.Secret, opts ...signpost.Option) *signpost.Dispatcher {
	t.Helper()
	d, err := signpost.New(append([]signpost.Option{
		signpost.WithQueue(q), signpost.WithSecret(secret.Reveal()), signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithLogger(quiet), signpost.WithRateLimit(rate.Inf, 0), soon,
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

var soon = signpost.WithRetryPolicy(signpost.RetryPolicy{
	MaxAttempts: 5,
	BackOff:     func() backoff.BackOff { return backoff.NewConstantBackOff(5 * time.Millisecond) },
})

// settle ends a lease as delivered by its first attempt.
func settle(l signpost.Lease) error {
	return l.Settle(ctx, signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{
		Number: l.Message().Attempts + 1, Start: time.Now(), StatusCode: 200,
	}})
}

// receiveOne receives a message, which must come.
func receiveOne(t testing.TB, q *sqlite.Queue) signpost.Lease {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := q.Receive(bounded)
	require.NoError(t, err)
	return l
}

// works has a queue do all that it is for.
func works(t testing.TB, q *sqlite.Queue) {
	t.Helper()
	want := newMessage("https://works.example", fmt.Sprintf("works-%d", time.Now().UnixNano()), 100)
	require.NoError(t, q.Enqueue(ctx, want))
	for {
		l := receiveOne(t, q)
		require.NoError(t, settle(l))
		if l.Message().ID == want.ID {
			require.NoError(t, checkMessage(want, l.Message()))
			return
		}
	}
}

// openRaw opens the file as any program might, beside the queue or in its absence.
func openRaw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file://"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(20000)")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// pending is how many messages in the file are pending.
func pending(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow("SELECT count(*) FROM messages WHERE state = 'pending'").Scan(&n))
	return n
}

// drained waits until no message in the file is pending, as long as they become fewer.
func drained(t testing.TB, db *sql.DB) {
	t.Helper()
	end, before := time.Now().Add(patience), pending(t, db)
	for n := before; n > 0; n = pending(t, db) {
		if n < before {
			end, before = time.Now().Add(patience), n
		}
		require.True(t, time.Now().Before(end), "waited in vain for all messages to end: %d are pending", n)
		time.Sleep(20 * time.Millisecond) // there is nothing else to wait for: another process empties the file
	}
}

// isSound has SQLite look at all of the file.
func isSound(t testing.TB, db *sql.DB) {
	t.Helper()
	var says string
	require.NoError(t, db.QueryRow("PRAGMA integrity_check").Scan(&says))
	require.Equal(t, "ok", says)
}

// isThere asserts that a message is in the file.
func isThere(t testing.TB, db *sql.DB, id string) {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow("SELECT count(*) FROM messages WHERE id = ?", id).Scan(&n))
	require.Equal(t, 1, n, "message %s was accepted", id)
}
