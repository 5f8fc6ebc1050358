// Package memqueue is a [signpost.Queue] in memory, for tests. It keeps the whole contract but the
// durability: nothing outlives the process. [Queue.Reopen] stands in for a crash and a restart. Queues and
// leases are safe for concurrent use.
//
// It polls nothing and does no I/O: in a testing/synctest bubble, where it must have been made too, a Receive
// that waits blocks durably.
package memqueue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/lines"
)

// ErrClosed is what the methods of a closed queue return, and Settle on the leases that it had given.
var ErrClosed = errors.New("memqueue: queue is closed")

// A Queue holds messages in memory. New makes one.
type Queue struct {
	mu      sync.Mutex // protects the following fields
	fail    func(op string) error
	known   map[string]bool // every ID that was ever enqueued
	waiting *lines.Lines[*entry]
	puts    uint64 // entries put into waiting so far
	leased  map[*lease]bool
	dead    []DeadLetter
	changed chan struct{} // closed, and replaced, when calls that wait must look again
	closed  bool
	gone    bool // reopened: another queue has the messages
}

// An entry is a message that has not ended.
type entry struct {
	message        signpost.Message
	host, endpoint string
	due            time.Time
	put            uint64
}

func newEntry(m *signpost.Message) *entry {
	return &entry{message: clone(m), host: m.Host(), endpoint: m.Endpoint()}
}

// A DeadLetter is a message that was settled as dead.
type DeadLetter struct {
	Message *signpost.Message // its Attempts count the last one
	Reason  error
}

// New returns an empty queue.
func New() *Queue {
	return &Queue{known: map[string]bool{}, waiting: lines.New[*entry](), leased: map[*lease]bool{}, changed: make(chan struct{})}
}

// Reopen ends q as a crash does and returns a queue that has its messages: those that wait, and those whose
// leases weren't settled, which are due at once. Settle on a lease that q gave returns
// [signpost.ErrLeaseLost] from now on. q is closed, if it wasn't, and empty. What was given to Fail stays
// behind.
func (q *Queue) Reopen() *Queue {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.close()
	q.gone = true
	next := New()
	next.known, q.known = q.known, map[string]bool{}
	next.dead, q.dead = q.dead, nil
	entries := slices.Collect(q.waiting.All)
	for l := range q.leased {
		entries = append(entries, l.entry)
	}
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.put, b.put) })
	for _, e := range entries {
		next.put(e, e.due)
	}
	q.waiting.Clear()
	q.leased = map[*lease]bool{}
	return next
}

// Enqueue implements [signpost.Queue]. A message whose ID is known already is left out, and no error: the
// first one with an ID stays as it is, whether it waits, is leased or has ended.
func (q *Queue) Enqueue(ctx context.Context, msgs ...*signpost.Message) error {
	if err := q.refusal(ctx, "enqueue"); err != nil {
		return err
	}
	for i, m := range msgs {
		if m == nil || m.ID == "" {
			return fmt.Errorf("memqueue: message %d of %d is nil or has no ID", i+1, len(msgs))
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	now := time.Now()
	for _, m := range msgs {
		if !q.known[m.ID] {
			q.known[m.ID] = true
			q.put(newEntry(m), now)
		}
	}
	return nil
}

// Receive implements [signpost.Queue]. Of the messages that are due it gives the one that has been so for the
// longest time.
func (q *Queue) Receive(ctx context.Context) (signpost.Lease, error) {
	if err := q.refusal(ctx, "receive"); err != nil {
		return nil, err
	}
	for {
		l, changed, wait, err := q.next()
		if l != nil || err != nil {
			return l, err
		}
		if err := await(ctx, changed, wait); err != nil {
			return nil, err
		}
	}
}

// next returns a lease on what is due. If nothing is, it returns a nil lease, what to wait for, and for how
// long at most: 0 for ever.
func (q *Queue) next() (l signpost.Lease, changed <-chan struct{}, wait time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return nil, nil, 0, ErrClosed
	case q.waiting.Len() == 0:
		return nil, q.changed, 0, nil
	}
	if wait := time.Until(q.waiting.First()); wait > 0 {
		return nil, q.changed, wait, nil
	}
	e := q.waiting.Pop()
	given := &lease{queue: q, message: clone(&e.message), entry: e}
	q.leased[given] = true
	return given, nil, 0, nil
}

// await returns when changed is closed or the time is over, or with ctx's error when that is done.
func await(ctx context.Context, changed <-chan struct{}, wait time.Duration) error {
	var over <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Close implements [signpost.Queue]. The messages stay for [Queue.Reopen]. It returns nil, however often it
// is called.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.close()
	return nil
}

// close requires that mu is held.
func (q *Queue) close() {
	if !q.closed {
		q.closed = true
		close(q.changed)
	}
}

// Fail has f asked at the beginning of every Enqueue, Receive and Settle from now on, with op "enqueue",
// "receive" or "settle". If it returns an error, so does the call, and does nothing else. f may be called by
// several goroutines at once; nil ends it. A Receive that waits already goes on.
func (q *Queue) Fail(f func(op string) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = f
}

// Len returns the number of messages that have not ended: those that are due, wait or are leased.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting.Len() + len(q.leased)
}

// Dead returns the dead letters in the order in which they came.
func (q *Queue) Dead() []DeadLetter {
	q.mu.Lock()
	defer q.mu.Unlock()
	var letters []DeadLetter
	for _, d := range q.dead {
		m := clone(d.Message)
		letters = append(letters, DeadLetter{Message: &m, Reason: d.Reason})
	}
	return letters
}

// refusal is why a call isn't even begun.
func (q *Queue) refusal(ctx context.Context, op string) error {
	q.mu.Lock()
	fail := q.fail
	q.mu.Unlock()
	if fail != nil {
		if err := fail(op); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// put has e wait until the given time. It requires that mu is held.
func (q *Queue) put(e *entry, due time.Time) {
	q.puts++
	e.due, e.put = due, q.puts
	q.waiting.Push(e, e.host, e.endpoint, e.due)
	q.wake()
}

// wake has calls that wait look again. It requires that mu is held.
func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// A lease is the right to deliver one message.
type lease struct {
	queue   *Queue
	message signpost.Message // the caller's copy
	entry   *entry           // protected by queue.mu
	settled bool             // protected by queue.mu
}

// Message implements [signpost.Lease].
func (l *lease) Message() *signpost.Message { return &l.message }

// Lost implements [signpost.RevocableLease]: the queue was reopened.
func (l *lease) Lost() bool {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	return l.queue.gone && !l.settled
}

// Settle implements [signpost.Lease]. If ctx is done it changes nothing.
func (l *lease) Settle(ctx context.Context, o signpost.Outcome) error {
	q := l.queue
	if err := q.refusal(ctx, "settle"); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case l.settled:
		return signpost.ErrSettled
	case q.gone:
		return signpost.ErrLeaseLost
	case q.closed:
		return ErrClosed
	}
	switch o.State {
	case signpost.Delivered:
	case signpost.Dead:
		if o.Attempt.Number > 0 {
			l.entry.message.Attempts++
		}
		q.dead = append(q.dead, DeadLetter{Message: &l.entry.message, Reason: o.Reason})
	case signpost.Retrying:
		l.entry.message.Attempts++
		q.put(l.entry, o.RetryAt)
	case signpost.Deferred:
		q.put(l.entry, o.RetryAt)
	default:
		return fmt.Errorf("memqueue: outcome %v: settle as Delivered, Retrying, Dead or Deferred", o.State)
	}
	l.settled = true
	delete(q.leased, l)
	return nil
}

func clone(m *signpost.Message) signpost.Message {
	c := *m
	c.Payload = bytes.Clone(m.Payload)
	c.Header = m.Header.Clone()
	return c
}
