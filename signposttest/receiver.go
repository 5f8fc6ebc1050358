package signposttest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signpost-go/signpost"
)

// A Receiver receives webhooks for a test. It serves every path below URL, so one Receiver can be many
// endpoints. Its fields are there to be read, its methods safe for concurrent use.
type Receiver struct {
	URL    string          // http://127.0.0.1 and a port, with no path
	Secret signpost.Secret // random; what requests must be signed with

	t        testing.TB
	verifier *signpost.Verifier
	done     chan struct{} // closed when the test ends

	mu       sync.Mutex // protects the following fields
	script   []Reply    // not used yet
	attempts map[target]int
	seen     arrivals
	changed  chan struct{} // closed, and replaced, when a request has come
}

// A Request is what has come of a message: one attempt to deliver it.
type Request struct {
	ID      string // webhook-id
	Attempt int    // 1 for the first request with this ID to this URL
	Method  string
	URL     *url.URL // path and query
	Header  http.Header
	Body    []byte
	Time    time.Time // when all of it had come; a later request's is never earlier
}

// target is where a message goes.
type target struct{ id, uri string }

// arrivals only ever grow, so a copy made under Receiver.mu is a snapshot.
type arrivals struct {
	requests []Request
	replies  []Reply  // what the requests are answered, one each
	refused  []string // requests that don't count, and why
}

const (
	maxBody  = 16 << 20 // bytes of a request
	patience = 10 * time.Second
	maxLines = 20 // of one kind in a failure's message
)

// NewReceiver starts a receiver on loopback that verifies every request with r.Secret. It answers the replies
// in turn, in the order in which requests come, whatever their path, and 200 once they are used up.
//
// A request that doesn't verify, or has more than 16 MiB, gets 401 or 413 and fails the test; it uses up no
// reply. One that breaks off before its body has come counts as none. A reply that contradicts itself fails
// the test at once.
//
// When the test ends, the receiver lets go of what it still holds, closes all connections and waits for its
// goroutines. Cleanups run last in, first out: a dispatcher that is closed in a Cleanup of its own, or by a
// defer, ends before the receiver does.
func NewReceiver(t testing.TB, replies ...Reply) *Receiver {
	t.Helper()
	var problems []string
	script := make([]Reply, len(replies))
	for i, reply := range replies {
		if p := reply.problem(); p != "" {
			problems = append(problems, fmt.Sprintf("signposttest: reply %d: %s", i+1, p))
		}
		reply.Header = reply.Header.Clone()
		script[i] = reply
	}
	if len(problems) > 0 {
		t.Fatal(strings.Join(problems, "\n"))
	}
	secret := signpost.NewSecret()
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		t.Fatalf("signposttest: %v", err)
	}
	r := &Receiver{
		Secret: secret,
		t:      t, verifier: verifier, done: make(chan struct{}),
		script: script, attempts: make(map[target]int), changed: make(chan struct{}),
	}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	r.URL = server.URL
	t.Cleanup(func() {
		close(r.done)           // what hangs or drips ends, and no handler begins any more
		server.Listener.Close() // so no connection comes between the two lines that follow
		server.CloseClientConnections()
		server.Close() // waits for handlers: none calls t after this
	})
	return r
}

// Options returns what a [signpost.Dispatcher] or [signpost.Sender] needs to reach r: its secret, and
// loopback allowed ("127.0.0.0/8" and "::1/128"). The options of several receivers may be given together:
// every request then has a signature for each of them.
func (r *Receiver) Options() []signpost.Option {
	return []signpost.Option{
		signpost.WithSecret(r.Secret.Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8", "::1/128"),
	}
}

// Wait returns the first n verified requests, in order of arrival. A request counts from when all of it has
// come, before it is answered. If they don't come within 10 s, or nine tenths of what is left until the
// test's own deadline if that is shorter, Wait ends the test as t.Fatal does, with a message that says what
// did come; so it must be called from the goroutine that runs the test. The requests are shared: don't change
// their headers and bodies.
func (r *Receiver) Wait(n int) []Request {
	r.t.Helper()
	if n < 0 {
		r.t.Fatalf("signposttest: Wait(%d): give the number of requests to wait for", n)
		return nil
	}
	limit := r.limit()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for over := ""; ; {
		r.mu.Lock()
		seen, changed := r.seen, r.changed
		r.mu.Unlock()
		if len(seen.requests) >= n {
			return seen.requests[:n:n]
		}
		if over != "" {
			r.t.Fatalf("signposttest: Wait(%d): %s", n, seen.describe(r.URL, over))
			return nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			over = "within " + limit.Round(time.Millisecond).String()
		case <-r.done:
			over = "before the test ended"
		}
	}
}

// limit is how long Wait waits: it must speak before the test's deadline does.
func (r *Receiver) limit() time.Duration {
	if t, ok := r.t.(interface{ Deadline() (time.Time, bool) }); ok {
		if at, ok := t.Deadline(); ok {
			return max(0, min(patience, time.Until(at)*9/10))
		}
	}
	return patience
}

// Requests returns the verified requests that have come so far, in order of arrival, without waiting. They
// are shared: don't change their headers and bodies.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.requests[:len(r.seen.requests):len(r.seen.requests)]
}

// serve handles a request.
func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	select {
	case <-r.done:
		panic(http.ErrAbortHandler) // closes the connection
	default:
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		line := r.refuse(req, errors.New("its body is larger than 16 MiB, the most that a Receiver takes"))
		r.t.Errorf("signposttest: request refused: %s", line)
		http.Error(w, "body is too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		r.refuse(req, fmt.Errorf("it broke off before its body had come: %w", err))
		panic(http.ErrAbortHandler)
	}
	if err := r.verifier.Verify(req.Header, body); err != nil {
		line := r.refuse(req, err)
		r.t.Errorf("signposttest: request doesn't verify: %s; send with the Receiver's Options, or sign with its Secret", line)
		http.Error(w, "webhook does not verify", http.StatusUnauthorized)
		return
	}
	r.accept(req, body).send(w, req, r.done)
}

// refuse keeps a request that doesn't count as a line of text, and returns it. The query is left out: it may
// be a secret.
func (r *Receiver) refuse(req *http.Request, why error) string {
	line := fmt.Sprintf("%s %s, webhook-id %.80q: %v", req.Method, req.URL.EscapedPath(), req.Header.Get("Webhook-Id"), why)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.refused = append(r.seen.refused, line)
	return line
}

// accept keeps a verified request and returns what to answer.
func (r *Receiver) accept(req *http.Request, body []byte) (reply Reply) {
	id := req.Header.Get("Webhook-Id")
	to := target{id, req.URL.RequestURI()}

	r.mu.Lock()
	if len(r.script) > 0 {
		reply, r.script = r.script[0], r.script[1:]
	}
	r.attempts[to]++
	r.seen.requests = append(r.seen.requests, Request{
		ID: id, Attempt: r.attempts[to], Method: req.Method, URL: req.URL, Header: req.Header, Body: body, Time: time.Now(),
	})
	r.seen.replies = append(r.seen.replies, reply)
	changed := r.changed
	r.changed = make(chan struct{})
	r.mu.Unlock()

	close(changed)
	return reply
}

// describe says what has come, in a sentence that goes on with until when, and then line by line.
func (a arrivals) describe(url, when string) string {
	var b strings.Builder
	switch n := len(a.requests); n {
	case 0:
		fmt.Fprintf(&b, "no verified request has come %s; does the dispatcher have the Receiver's Options, and is it sent to %s?", when, url)
	case 1:
		fmt.Fprintf(&b, "1 verified request has come %s:", when)
	default:
		fmt.Fprintf(&b, "%d verified requests have come %s:", n, when)
	}
	lines := make([]string, len(a.requests))
	for i, req := range a.requests {
		lines[i] = fmt.Sprintf("%s, attempt %d: %s %s, %s", req.ID, req.Attempt, req.Method, req.URL.EscapedPath(), a.replies[i].describe())
	}
	list(&b, lines)
	if n := len(a.refused); n > 0 {
		fmt.Fprintf(&b, "\nnot counted, because they didn't verify or weren't whole: %d:", n)
		list(&b, a.refused)
	}
	return b.String()
}

// list writes the last lines of a list: they tell most.
func list(b *strings.Builder, lines []string) {
	if left := len(lines) - maxLines; left > 0 {
		fmt.Fprintf(b, "\n\t… %d earlier ones", left)
		lines = lines[left:]
	}
	for _, line := range lines {
		b.WriteString("\n\t" + line)
	}
}
