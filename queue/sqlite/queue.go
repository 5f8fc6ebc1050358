package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// A Queue is a [signpost.HoldingQueue] in a file, and its delivery log. [Open] opens it. Its methods are safe for
// concurrent use.
//
// # Goroutines
//
// The writer makes every change of the file; see writer.go. With [WithRetention] the pruner deletes what is old. Both are
// started by Open and awaited by Close. Reading is done by those who call Receive and Messages.
//
// # Locks
//
// mu protects what is in memory, and is never held while the file is used. writer.mu is a leaf.
type Queue struct {
	reader
	config *config
	file   *file
	clock  clock
	writer *writer
	fetch  *sql.Stmt // the messages of a line, in order
	pick   *sql.Stmt // one message

	mu      sync.Mutex // protects the following fields
	lines   *lines
	changed chan struct{} // closed, and replaced, when calls of Receive that wait must look again
	closed  bool
	closing sync.Once
	calls   sync.WaitGroup // that use the file; begun under mu while closed is false
}

// committed is called after every commit.
func (q *Queue) committed(jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.now()
	for _, j := range jobs {
		if t, ok := j.task.(interface{ committed(s *lines, now int64) }); ok {
			t.committed(q.lines, now)
		}
	}
	q.tell()
}

// tell has calls of Receive that wait look again. It requires that mu is held.
func (q *Queue) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Enqueue implements [signpost.Queue]. A message whose ID is in the file already is left out, and no error: the first one
// with an ID stays as it is, whether it is pending or has ended, until it is pruned. If ctx is done it returns at once; what
// is being written then may be in the file all the same.
func (q *Queue) Enqueue(ctx context.Context, msgs ...*signpost.Message) error {
	a := &arrival{queue: q, rows: make([]arrived, 0, len(msgs))}
	for i, m := range msgs {
		if err := validate(m); err != nil {
			return fmt.Errorf("sqlite: enqueue message %d of %d: %w", i+1, len(msgs), err)
		}
		a.add(m)
	}
	if len(msgs) == 0 {
		return ctx.Err()
	}
	return q.do(ctx, "enqueue", a)
}

// do has the writer do a task.
func (q *Queue) do(ctx context.Context, what string, t task) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := q.writer.do(ctx, t)
	return q.explain(what, err)
}

// explain says what an error of the writer means, except for those that aren't SQLite's.
func (q *Queue) explain(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrClosed) {
		return err
	}
	return explain(what+" in "+q.file.path, err)
}

// An arrival is the task of an Enqueue.
type arrival struct {
	queue *Queue
	rows  []arrived
	bytes int
	now   int64 // when they were accepted
}

type arrived struct {
	row
	host, endpoint string
	message        signpost.Message
	known          bool // its ID is in the file already
}

func (a *arrival) add(m *signpost.Message) {
	r := arrived{host: m.Host(), endpoint: m.Endpoint(), message: *m}
	r.message.Payload = bytes.Clone(m.Payload)
	r.message.Header = m.Header.Clone()
	r.header = formatHeader(m.Header)
	r.created = m.CreatedAt.UnixMilli()
	r.message.CreatedAt = time.UnixMilli(r.created)
	r.checksum = checksum(m.ID, m.URL, r.header, m.Payload, r.created)
	a.rows = append(a.rows, r)
	a.bytes += len(m.Payload) + len(r.header)
}

func (a *arrival) size() int { return a.bytes }

func (a *arrival) apply(w *statements) error {
	a.now = a.queue.clock.now()
	for i := range a.rows {
		r := &a.rows[i]
		m := &r.message
		payload := m.Payload
		if payload == nil {
			payload = []byte{} // NULL otherwise
		}
		result, err := w.insert.ExecContext(context.Background(),
			m.ID, r.host, r.endpoint, m.URL, m.Attempts, a.now, r.created, r.checksum, r.header, payload)
		if err != nil {
			return err
		}
		inserted, err := result.RowsAffected()
		if err != nil {
			return err
		}
		r.known = inserted == 0
		if r.number, err = result.LastInsertId(); err != nil {
			return err
		}
	}
	return nil
}

func (a *arrival) committed(s *lines, now int64) {
	for i := range a.rows {
		r := &a.rows[i]
		if r.known {
			continue
		}
		l := s.line(r.host, r.endpoint)
		p := position{a.now, r.number}
		if !s.offer(newEntry(p, l, r.message, r.header), now) {
			s.put(l, p, now)
		}
	}
}

// Hold implements [signpost.HoldingQueue].
func (q *Queue) Hold(key string, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.now()
	at := int64(0)
	if !until.IsZero() {
		at = q.clock.at(until)
	}
	q.lines.hold(key, at, now)
	q.tell()
}

// Close closes the queue and gives up its file. Calls that wait return [ErrClosed]; so does every later call. Settle of leases that
// are out returns [signpost.ErrLeaseLost], and their messages come back when the file is opened again. Close waits for
// what is being written and read. It can be called again, waits as well, and returns nil then.
func (q *Queue) Close() error {
	var err error
	q.closing.Do(func() {
		q.mu.Lock()
		q.closed = true
		q.tell()
		q.mu.Unlock()
		q.writer.stop()
		q.calls.Wait()
		err = explain("close "+q.file.path, q.release())
	})
	return err
}

// release closes what is open, the lock last.
func (q *Queue) release() error {
	return errors.Join(q.reader.close(), q.writer.close(), q.file.lock.Close())
}
