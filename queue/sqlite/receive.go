package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/signpost-go/signpost"
)

const (
	readAhead     = 16        // messages of one line
	readAheadSize = 256 << 10 // bytes of one line, beyond its first message

	readAgain = 5 * time.Second // a line is left alone for so long after its messages could not be read
)

// What is read of the messages that wait, all by the index messages_due or by number.
const (
	columns = `number, due_at, id, url, header, payload, attempts, created_at, accepted_at, redelivered_at, checksum`

	// What is after a position, in order. SQLite would seek (due_at, number) > (?2, ?3) by due_at alone.
	fetchQuery = `SELECT ` + columns + ` FROM messages WHERE endpoint = ?1 AND state = 'pending' AND due_at = ?2 AND number > ?3
		UNION ALL
		SELECT ` + columns + ` FROM messages WHERE endpoint = ?1 AND state = 'pending' AND due_at > ?2
		ORDER BY due_at, number LIMIT ?4`
	pickQuery = `SELECT ` + columns + ` FROM messages WHERE number = ? AND state = 'pending'`
)

// Receive implements [signpost.Queue]. Hosts give in turn, and the endpoints of each host. Of an endpoint's messages the
// one that has been due for the longest time comes first, those that were settled as Retrying or Deferred before new ones,
// save for some that were read ahead. But of those that became due before the end of a hold on the endpoint or its host
// ([Queue.Hold]) the one comes first that was accepted first, if it was received since Open. A message whose content does
// not match its checksum is put aside as [Damaged], and logged.
func (q *Queue) Receive(ctx context.Context) (signpost.Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, ErrClosed
		}
		now := q.clock.now()
		l := q.lines.turn(now)
		switch {
		case l == nil:
			changed, wake := q.changed, q.lines.wake()
			q.mu.Unlock()
			await(ctx, changed, wake, now)
		case !q.lines.mustLoad(l, now):
			e := q.lines.lease(l, now)
			q.mu.Unlock()
			return &lease{queue: q, entry: e}, nil
		default:
			limit := readAhead
			if q.lines.buffered >= maxBuffered {
				limit = 1
			}
			ld := q.lines.startLoad(l, limit, now)
			q.calls.Add(1)
			q.mu.Unlock()
			e, err := q.load(ld)
			switch {
			case err != nil:
				return nil, explain("read messages for "+l.host.key+" in "+q.file.path, err)
			case e != nil:
				return &lease{queue: q, entry: e}, nil
			}
		}
	}
}

// await returns when there may be something to receive, or ctx is done.
func await(ctx context.Context, changed <-chan struct{}, wake, now int64) {
	var over <-chan time.Time
	if wake != never {
		timer := time.NewTimer(time.Duration(min(wake-now, int64(time.Hour/time.Millisecond))) * time.Millisecond)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
}

// load reads messages of a line into memory, and leases the first one.
func (q *Queue) load(ld load) (*entry, error) {
	defer q.calls.Done()
	got, err := q.read(ld)
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.tell() // others may have waited for this line
	now := q.clock.now()
	if err != nil {
		q.lines.failLoad(ld, now+readAgain.Milliseconds(), now)
		return nil, err
	}
	return q.lines.endLoad(ld, got, now), nil
}

func (q *Queue) read(ld load) (reading, error) {
	ctx := context.Background() // short, and cheaper than a context that can end
	got := reading{read: ld.after, next: ld.next}
	for i, p := range ld.strays {
		if got.size > readAheadSize {
			got.strays = append(got.strays, ld.strays[i:]...)
			break
		}
		var r row
		err := r.scan(q.pick.QueryRowContext(ctx, p.number))
		switch {
		case errors.Is(err, sql.ErrNoRows): // somebody has changed the file by hand
		case err != nil && r.number != 0: // a column has something that can't be there
			q.putAside(&r, err)
		case err != nil:
			return reading{}, err
		case r.due != p.due: // it has another place by now
			got.strays = append(got.strays, position{r.due, r.number})
		default:
			q.take(&got, ld.line, &r)
		}
	}
	if ld.limit == 0 || got.size > readAheadSize { // strays come first
		return got, nil
	}
	got.next = never
	rows, err := q.fetch.QueryContext(ctx, ld.line.key, ld.after.due, ld.after.number, ld.limit+1)
	if err != nil {
		return reading{}, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		var r row
		if err := r.scan(rows); err != nil {
			if r.number == 0 {
				return reading{}, err
			}
			q.putAside(&r, err) // a column has something that can't be there: it mustn't hold up what comes after it
			if n == ld.limit {
				got.next = ld.through // and there may be more
			}
			continue
		}
		if n == ld.limit || r.due > ld.through || got.size > readAheadSize {
			got.next = r.due
			break
		}
		got.read = position{r.due, r.number}
		q.take(&got, ld.line, &r)
	}
	return got, rows.Err()
}

// take adds a message to what was read, or puts it aside.
func (q *Queue) take(got *reading, l *line, r *row) {
	m, err := r.message()
	if err != nil {
		q.putAside(r, err)
		return
	}
	e := newEntry(position{r.due, r.number}, l, m, r.header)
	got.entries = append(got.entries, e)
	got.size += e.size
}

func (r *row) scan(from interface{ Scan(...any) error }) error {
	return from.Scan(&r.number, &r.due, &r.id, &r.url, &r.header, &r.payload, &r.attempts, &r.created, &r.accepted, &r.redelivered, &r.checksum)
}

// putAside has a message marked as damaged.
func (q *Queue) putAside(r *row, why error) {
	q.config.logger.Error("sqlite: message is damaged, it is put aside", "file", q.file.path, "number", r.number, "id", r.id, "err", why)
	t := &puttingAside{number: r.number, reason: why.Error(), now: q.clock.now()}
	// Nobody waits: if the file can't be written now, the message stays pending and is found again after the next Open.
	if err := q.writer.post(&job{task: t, done: make(chan struct{})}); err != nil {
		q.config.logger.Error("sqlite: damaged message stays pending", "file", q.file.path, "number", r.number, "err", err)
	}
}

type puttingAside struct {
	number int64
	reason string
	now    int64
}

func (t *puttingAside) size() int { return len(t.reason) }

func (t *puttingAside) apply(w *statements) error {
	_, err := w.putAside.ExecContext(context.Background(), t.number, t.reason, t.now)
	return err
}
