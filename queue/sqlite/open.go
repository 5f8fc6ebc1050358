package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	q.writer = &writer{committed: q.committed, dsn: dsn(q.file.path, "rwc",
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
	db, err := openDatabase(ctx, q.writer.dsn, 1)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if seen, err = check(ctx, db, q.file.path); err != nil {
		return 0, err
	}
	return seen, q.writer.use(ctx, db)
}

func check(ctx context.Context, db *sql.DB, path string) (seen int64, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := migrate(ctx, conn, migrations); err != nil {
		return 0, err
	}
	var busy, inLog, copied int
	if err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &inLog, &copied); err != nil {
		return 0, err
	}
	if busy == 0 { // else somebody reads, and there may be something in path-wal
		if err := checkSize(ctx, conn, path); err != nil {
			return 0, err
		}
	}
	err = conn.QueryRowContext(ctx, "SELECT now_at FROM clock").Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return seen, err
}

// findLinesQuery takes one step in the index for each endpoint.
const findLinesQuery = `WITH RECURSIVE pending (endpoint) AS (
			SELECT min(endpoint) FROM messages WHERE state = 'pending'
			UNION ALL
			SELECT (SELECT min(endpoint) FROM messages WHERE state = 'pending' AND endpoint > pending.endpoint)
			FROM pending WHERE endpoint IS NOT NULL)
		SELECT endpoint,
			(SELECT host FROM messages m WHERE m.state = 'pending' AND m.endpoint = pending.endpoint LIMIT 1),
			(SELECT min(due_at) FROM messages m WHERE m.state = 'pending' AND m.endpoint = pending.endpoint)
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
		var endpoint, host string
		var due int64
		if err := rows.Scan(&endpoint, &host, &due); err != nil {
			return err
		}
		l := q.lines.line(host, endpoint)
		l.next = due
		q.lines.place(l, now)
	}
	return rows.Err()
}
