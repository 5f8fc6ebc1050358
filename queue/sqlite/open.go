package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

const (
	cacheSize = 32 << 10 // KiB of the writer's page cache
	walPages  = 4096     // so many pages in path-wal are brought back into path; more are written when commits are large
)

// Open opens the queue in the file at path, which is made if there is none, with its owner's permissions only; its
// folder must be there, on a local disk, for locks on network file systems can't be trusted. Beside it there will be
// path-wal and path-shm, which belong to the file like its pages, and path.lock.
//
// Only one Queue at a time can have a file open, in whatever process: for another one Open returns [ErrLocked], which
// says who has it. It brings older files to this package's schema and refuses newer ones ([ErrNewer]), those that aren't a
// queue ([ErrNotQueue]), that were cut short or are inconsistent where Open looks ([ErrDamaged]), and that can't be written
// ([ErrReadOnly]). It reads what is pending by endpoint: its time and memory grow with the number of endpoints that have
// messages waiting, not with that of messages. ctx bounds Open alone.
func Open(ctx context.Context, path string, opts ...Option) (*Queue, error) {
	config, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	path, err = resolve(path)
	if err != nil {
		return nil, err
	}
	f, err := lockFile(path)
	if err != nil {
		return nil, err
	}
	q := &Queue{config: config, file: f, changed: make(chan struct{}), lines: newLines()}
	if err := q.open(ctx); err != nil {
		return nil, explain("open "+path, errors.Join(err, q.release()))
	}
	return q, nil
}

func (q *Queue) open(ctx context.Context) error {
	if err := q.file.make(); err != nil {
		return err
	}
	q.writer = &writer{committed: q.committed, path: q.file.path, dsn: dsn(q.file.path, "rwc",
		"busy_timeout(5000)", "auto_vacuum(incremental)", "journal_mode(wal)", "synchronous(full)", "fullfsync(1)", "checkpoint_fullfsync(1)",
		fmt.Sprintf("cache_size(%d)", -cacheSize), fmt.Sprintf("wal_autocheckpoint(%d)", walPages))}
	seen, err := q.prepareFile(ctx)
	if err != nil {
		return err
	}
	q.clock = newClock(seen)
	q.writer.clock, q.writer.saved = q.clock, seen
	if err := q.reader.open(ctx, q.file.path, q.clock); err != nil {
		return err
	}
	if q.fetch, err = q.reader.db.PrepareContext(ctx, fetchQuery); err != nil {
		return err
	}
	if q.pick, err = q.reader.db.PrepareContext(ctx, pickQuery); err != nil {
		return err
	}
	if err := q.findLines(ctx); err != nil {
		return err
	}
	q.writer.start()
	q.startPruner()
	return nil
}

// prepareFile makes the file ready to be written, and returns the latest time that the queue has seen.
func (q *Queue) prepareFile(ctx context.Context) (seen int64, err error) {
	if err := vetFile(ctx, q.file.path); err != nil {
		return 0, err
	}
	db, err := openDatabase(ctx, q.writer.dsn, 1)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if seen, err = check(ctx, db); err != nil {
		return 0, err
	}
	if q.writer.at, err = os.Stat(q.file.path); err != nil {
		return 0, err
	}
	return seen, q.writer.use(ctx, db)
}

func check(ctx context.Context, db *sql.DB) (seen int64, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := migrate(ctx, conn, migrations); err != nil {
		return 0, err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return 0, err
	}
	var at sql.NullInt64
	err = conn.QueryRowContext(ctx, "SELECT iif(typeof(now_at) = 'integer', now_at, NULL) FROM clock").Scan(&at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err == nil && !at.Valid:
		err = fmt.Errorf("%w: its clock has no time; restore it from a backup", ErrDamaged)
	}
	return at.Int64, err
}

// findLinesQuery takes one step in the index for each endpoint.
const findLinesQuery = `WITH RECURSIVE pending (endpoint) AS (
			SELECT min(endpoint) FROM messages WHERE state = 'pending'
			UNION ALL
			SELECT (SELECT min(endpoint) FROM messages WHERE state = 'pending' AND endpoint > pending.endpoint)
			FROM pending WHERE endpoint IS NOT NULL)
		SELECT endpoint,
			(SELECT host FROM messages m WHERE m.state = 'pending' AND m.endpoint = pending.endpoint LIMIT 1),
			CAST((SELECT min(due_at) FROM messages m WHERE m.state = 'pending' AND m.endpoint = pending.endpoint) AS INTEGER)
		FROM pending WHERE endpoint IS NOT NULL`

// findLines finds out which endpoints have pending messages, with one step in the index for each.
func (q *Queue) findLines(ctx context.Context) error {
	rows, err := q.reader.db.QueryContext(ctx, findLinesQuery)
	if err != nil {
		return err
	}
	defer rows.Close()
	now := q.clock.now()
	for rows.Next() {
		var endpoint string
		var host sql.NullString
		var due sql.NullInt64
		if err := rows.Scan(&endpoint, &host, &due); err != nil {
			return err
		}
		if !host.Valid || !due.Valid {
			return fmt.Errorf("%w: the index messages_due doesn't agree with itself on %q; try REINDEX in sqlite3", ErrDamaged, endpoint)
		}
		l := q.lines.line(host.String, endpoint)
		l.next = due.Int64
		q.lines.place(l, now)
	}
	return rows.Err()
}
