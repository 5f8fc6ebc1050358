package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/signpost-go/signpost"
)

// A State is what a message in the file is.
type State string

// The states of a message in the file.
const (
	Pending   State = "pending"   // it will be tried, or tried again
	Delivered State = "delivered" // the receiver has accepted it
	Dead      State = "dead"      // it was given up, for the reason that its record tells
	Damaged   State = "damaged"   // its content doesn't match its checksum, and it was put aside
)

// A Record is what the delivery log has of a message.
//
// One whose content doesn't match its checksum is always shown as Damaged, also where the file says otherwise because
// nobody has noticed so far: of the Message it has the ID and the attempts only, and Reason says which row it is.
type Record struct {
	// Message is as it was accepted, with its own CreatedAt, and Attempts made since then or since it was sent again.
	Message       signpost.Message
	State         State
	Reason        string    // why it is Dead or Damaged
	AcceptedAt    time.Time // when Enqueue put it into the file
	ChangedAt     time.Time // when it came into its state; of a Pending one when it was accepted or sent again
	RedeliveredAt time.Time // when it was last sent again; zero: never
	DueAt         time.Time // when it will be tried at the earliest; zero unless it is Pending
	// Attempts are all that were made, in the order in which they were settled, those before it was sent again too:
	// numbers begin with 1 again then. Errors are texts, bodies cut to [WithResponseBytes], and RetryAfter isn't kept.
	Attempts []signpost.Attempt
}

// A Filter says which messages are meant: those that match all of its fields. The zero Filter means all.
type Filter struct {
	IDs          []string  // one of these; none given: any
	State        State     // empty: any
	Host         string    // "hooks.example:443", as [signpost.Message.Host] gives it; without a port: all ports
	Since, Until time.Time // ChangedAt is not before Since, and before Until; zero: any
	Limit        int       // the first so many, in the order in which they were accepted; 0: all
}

func (f *Filter) validate() error {
	switch f.State {
	case "", Pending, Delivered, Dead, Damaged:
	default:
		return fmt.Errorf("sqlite: filter's State %q: give %s, %s, %s or %s, or none for any", f.State, Pending, Delivered, Dead, Damaged)
	}
	if f.Limit < 0 {
		return fmt.Errorf("sqlite: filter's Limit %d: give 0 for all, or more", f.Limit)
	}
	return nil
}

// Counts are how many messages are in each state, by the file: see [Record] on those that are damaged unnoticed.
type Counts struct{ Pending, Delivered, Dead, Damaged int }

// Messages yields what the log has of the messages that f means, in the order in which they were accepted. Which ones
// is found out at the start; then they are read some at a time, and those that don't match any more are left out. The
// file isn't used while the loop's body runs: it may take its time, and call Redeliver, Prune or Settle. Memory grows
// with 8 bytes for each message that matches.
//
// IDs are found by an index, and so are states and times but for pending messages: those are all looked at.
//
// An error is yielded with a nil Record, and is the last: ctx's when that is done, ErrClosed when the queue is closed.
func (q *Queue) Messages(ctx context.Context, f Filter) iter.Seq2[*Record, error] {
	return q.reader.messages(ctx, f)
}

// Counts counts the messages by state. It reads the indexes only: some ten milliseconds for every 100,000 messages.
func (q *Queue) Counts(ctx context.Context) (Counts, error) { return q.reader.counts(ctx) }

// A Log reads the delivery log of a queue that another process may have open. [OpenLog] opens it. Its methods are safe
// for concurrent use.
type Log struct{ reader reader }

// OpenLog opens the file of a queue for reading, whether or not a Queue has it open, here or elsewhere on this machine.
// It needs the permission to read path and to write its folder, where SQLite keeps what connections share. It changes no
// file's content and makes no queue: a path without a file is an error that wraps [fs.ErrNotExist], and [ErrNotQueue] says
// that there is something else. A file with an older schema must be opened by Open once; one with a newer schema is
// refused with [ErrNewer]. ctx bounds OpenLog alone.
func OpenLog(ctx context.Context, path string) (*Log, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	l := &Log{}
	if err := l.open(ctx, path); err != nil {
		return nil, explain("open log "+path, errors.Join(err, l.reader.close()))
	}
	return l, nil
}

// Messages is as [Queue.Messages].
func (l *Log) Messages(ctx context.Context, f Filter) iter.Seq2[*Record, error] {
	return l.reader.messages(ctx, f)
}

// Counts is as [Queue.Counts].
func (l *Log) Counts(ctx context.Context) (Counts, error) { return l.reader.counts(ctx) }

// Close closes the log. Calls that read end with [ErrClosed], as later ones do. It can be called again.
func (l *Log) Close() error { return explain("close log "+l.reader.path, l.reader.close()) }

func (r *reader) counts(ctx context.Context) (c Counts, err error) {
	ctx, leave, err := r.gate.enter(ctx)
	if err != nil {
		return Counts{}, err
	}
	defer leave()
	rows, err := r.log.QueryContext(ctx, countStates)
	if err != nil {
		return Counts{}, r.explain(ctx, "count messages", err)
	}
	defer rows.Close()
	for rows.Next() {
		var state State
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return Counts{}, r.explain(ctx, "count messages", err)
		}
		switch state {
		case Pending:
			c.Pending = n
		case Delivered:
			c.Delivered = n
		case Dead:
			c.Dead = n
		case Damaged:
			c.Damaged = n
		}
	}
	return c, r.explain(ctx, "count messages", rows.Err())
}

const countStates = `SELECT 'pending', count(*) FROM messages INDEXED BY messages_due WHERE state = 'pending'
	UNION ALL SELECT state, count(*) FROM messages INDEXED BY messages_ended WHERE state <> 'pending' GROUP BY state`

func (r *reader) messages(ctx context.Context, f Filter) iter.Seq2[*Record, error] {
	f.IDs = slices.Clone(f.IDs)
	return func(yield func(*Record, error) bool) {
		numbers, err := r.numbers(ctx, &f)
		for err == nil && len(numbers) > 0 {
			var page []*Record
			page, numbers, err = r.page(ctx, &f, numbers)
			for _, record := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				if !yield(record, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// numbers returns the numbers of the messages that f means, in order.
func (r *reader) numbers(ctx context.Context, f *Filter) (numbers []int64, err error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	ctx, leave, err := r.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	query, args, err := f.query(r.clock)
	if err != nil {
		return nil, err
	}
	rows, err := r.log.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, r.explain(ctx, "find messages", err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, r.explain(ctx, "find messages", err)
		}
		numbers = append(numbers, n)
	}
	return numbers, r.explain(ctx, "find messages", rows.Err())
}

// query finds the numbers of the messages that f means. It names the indexes, so that SQLite can't choose a scan of the
// table, with all payloads. The conditions state = 'pending' and state <> 'pending' are there in so many words because
// SQLite else doesn't see that it may use the partial indexes (https://www.sqlite.org/partialindex.html, section 3.1).
func (f *Filter) query(c clock) (query string, args []any, err error) {
	branch := func(from string, values ...any) {
		if query != "" {
			query += " UNION ALL "
		}
		query += "SELECT number FROM messages INDEXED BY " + from
		args = append(args, values...)
		if f.Host != "" { // ; is next to :
			query += " AND (host = ? OR host > ? || ':' AND host < ? || ';')"
			args = append(args, f.Host, f.Host, f.Host)
		}
		if !f.Since.IsZero() {
			query += " AND changed_at >= ?"
			args = append(args, c.at(f.Since))
		}
		if !f.Until.IsZero() {
			query += " AND changed_at < ?"
			args = append(args, c.at(f.Until))
		}
	}
	switch {
	case len(f.IDs) > 0:
		ids, err := json.Marshal(f.IDs)
		if err != nil {
			return "", nil, fmt.Errorf("sqlite: filter's IDs: %w", err)
		}
		branch("sqlite_autoindex_messages_1 WHERE id IN (SELECT value FROM json_each(?)) AND (? = '' OR state = ?)",
			string(ids), f.State, f.State)
	case f.State == "":
		branch("messages_due WHERE state = 'pending'")
		branch("messages_ended WHERE state <> 'pending' AND state IN ('delivered', 'dead', 'damaged')")
	case f.State == Pending:
		branch("messages_due WHERE state = 'pending'")
	default:
		branch("messages_ended WHERE state <> 'pending' AND state = ?", f.State)
	}
	return query + " ORDER BY 1 LIMIT ?", append(args, cmp.Or(f.Limit, -1)), nil
}

// matches reports whether a message that f's query has found still is one that f means; its ID and host don't change.
func (f *Filter) matches(c clock, state State, changed int64) bool {
	return (f.State == "" || state == f.State) &&
		(f.Since.IsZero() || changed >= c.at(f.Since)) && (f.Until.IsZero() || changed < c.at(f.Until))
}

// A page is so many messages at most, and so many bytes beyond its first one.
const (
	pageMessages = 100
	pageBytes    = 1 << 20
)

const (
	readMessages = `SELECT number, id, url, header, payload, attempts, due_at, created_at, redelivered_at, checksum,
			state, coalesce(reason, ''), accepted_at, changed_at
		FROM messages WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number`
	readAttempts = `SELECT message, number, started_at, duration_us, coalesce(status, 0), error, response
		FROM attempts WHERE message IN (SELECT value FROM json_each(?)) ORDER BY message, nth`
)

// page reads the first of the messages with the given numbers that still match, and returns the numbers of the rest.
func (r *reader) page(ctx context.Context, f *Filter, numbers []int64) (page []*Record, rest []int64, err error) {
	ctx, leave, err := r.gate.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	conn, err := r.log.Conn(ctx)
	if err != nil {
		return nil, nil, r.explain(ctx, "read messages", err)
	}
	defer conn.Close()
	// Messages and attempts of one moment. If ctx ended the transaction, a goroutine of database/sql would do it, some time.
	tx, err := conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return nil, nil, r.explain(ctx, "read messages", err)
	}
	defer tx.Rollback() // nothing was written
	page, read, rest, err := r.readPage(ctx, tx, f, numbers)
	if err == nil {
		err = readPageAttempts(ctx, tx, page, read)
	}
	if err != nil {
		return nil, nil, r.explain(ctx, "read messages", err)
	}
	return page, rest, nil
}

func (r *reader) readPage(ctx context.Context, tx *sql.Tx, f *Filter, numbers []int64) (page []*Record, read, rest []int64, err error) {
	first := numbers[:min(len(numbers), pageMessages)]
	rest = numbers[len(first):]
	rows, err := tx.QueryContext(ctx, readMessages, jsonList(first))
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	for bytes := 0; rows.Next(); {
		var m row
		var state State
		var reason string
		var changed int64
		if err := rows.Scan(&m.number, &m.id, &m.url, &m.header, &m.payload, &m.attempts, &m.due, &m.created, &m.redelivered, &m.checksum,
			&state, &reason, &m.accepted, &changed); err != nil {
			if m.number == 0 {
				return nil, nil, nil, err
			}
			// A column has something that can't be there: it mustn't keep back what comes after it.
			page, read = append(page, unreadable(&m, err)), append(read, m.number)
			continue
		}
		if bytes > pageBytes {
			next, _ := slices.BinarySearch(numbers, m.number)
			rest = numbers[next:]
			break
		}
		bytes += len(m.payload) + len(m.header)
		if f.matches(r.clock, state, changed) {
			record := r.record(&m, state, reason)
			record.AcceptedAt, record.ChangedAt = r.clock.time(m.accepted), r.clock.time(changed)
			page, read = append(page, record), append(read, m.number)
		}
	}
	return page, read, rest, rows.Err()
}

func (r *reader) record(m *row, state State, reason string) *Record {
	record := &Record{State: state, Reason: reason}
	if state == Pending {
		record.DueAt = r.clock.time(m.due)
	}
	if m.redelivered.Valid {
		record.RedeliveredAt = r.clock.time(m.redelivered.Int64)
	}
	message, err := m.message()
	switch {
	case err != nil:
		record.State, record.DueAt = Damaged, time.Time{}
		record.Reason = fmt.Sprintf("messages.number %d, where its state is %s: %v", m.number, state, err)
		message = signpost.Message{ID: m.id, Attempts: m.attempts}
	default:
		message.CreatedAt = time.UnixMilli(m.created)
	}
	record.Message = message
	return record
}

func unreadable(m *row, why error) *Record {
	return &Record{
		Message: signpost.Message{ID: m.id}, State: Damaged, Reason: fmt.Sprintf("messages.number %d: %v", m.number, why),
	}
}

// readPageAttempts adds to the records with the given numbers their attempts.
func readPageAttempts(ctx context.Context, tx *sql.Tx, page []*Record, numbers []int64) error {
	rows, err := tx.QueryContext(ctx, readAttempts, jsonList(numbers))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number, started, duration int64
		var a signpost.Attempt
		var text sql.NullString
		if err := rows.Scan(&number, &a.Number, &started, &duration, &a.StatusCode, &text, &a.Body); err != nil {
			return err
		}
		a.Start, a.Duration = time.UnixMilli(started), time.Duration(duration)*time.Microsecond
		if text.Valid {
			a.Err = errors.New(text.String)
		}
		if i, ok := slices.BinarySearch(numbers, number); ok {
			page[i].Attempts = append(page[i].Attempts, a)
		}
	}
	return rows.Err()
}

// jsonList writes numbers for SQLite's json_each.
func jsonList(numbers []int64) string {
	text, _ := json.Marshal(numbers) // numbers never fail
	if numbers == nil {
		return "[]"
	}
	return string(text)
}
