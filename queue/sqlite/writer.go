package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// A writer is the one goroutine that writes the file. It takes all tasks that wait and commits them in one transaction,
// so that many callers share the wait for the disk (group commit; DeWitt and others, "Implementation techniques for main
// memory database systems", 1984). While it waits for the disk the next ones gather. A lone caller never waits for company.
type writer struct {
	dsn       string
	clock     clock
	committed func(jobs []*job) // called by the writer's goroutine after a commit, and before anybody hears of it
	done      chan struct{}     // closed when the goroutine has ended
	wake      chan struct{}     // holds one word: there are tasks, or it is to stop

	mu      sync.Mutex // protects the following fields
	waiting []*job
	stopped bool

	path   string
	at     os.FileInfo // the file, as Open has found it
	db     *sql.DB     // the goroutine's alone, as the following fields
	conn   *sql.Conn
	write  *statements
	saved  int64 // the clock's time in the file
	broken bool  // conn is in an unknown state
}

// A transaction takes in so many tasks at most, so that none waits for too many others.
const (
	maxTasks     = 1024
	maxTaskBytes = 8 << 20
)

// A task is a change of the file.
type task interface {
	// apply makes the change in a transaction. It may be called again after the transaction was rolled back. An error
	// says that the change can't be made now.
	apply(w *statements) error
	// size is about how many bytes it writes.
	size() int
}

// A job is a task on its way.
type job struct {
	task task
	done chan struct{}
	err  error // written before done is closed
}

// start starts the goroutine.
func (w *writer) start() {
	w.done, w.wake = make(chan struct{}), make(chan struct{}, 1)
	go w.run()
}

// do returns when the task's change is durable, or with the reason why it isn't. If ctx is done first, the task is
// withdrawn if it wasn't begun; else it is unknown what becomes of it, and j.done tells when it is known.
func (w *writer) do(ctx context.Context, t task) (j *job, err error) {
	j = &job{task: t, done: make(chan struct{})}
	if err := w.post(j); err != nil {
		return nil, err
	}
	return j, w.await(ctx, j)
}

// post leaves a job with the goroutine.
func (w *writer) post(j *job) error {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return ErrClosed
	}
	w.waiting = append(w.waiting, j)
	w.mu.Unlock()
	w.tell()
	return nil
}

// await is what do does after post, for the one who has posted j.
func (w *writer) await(ctx context.Context, j *job) error {
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
	}
	if !w.withdraw(j) {
		select {
		case <-j.done: // both at once: what is known is worth more
			return j.err
		default:
		}
	}
	return ctx.Err()
}

// withdraw takes back a job, unless it was begun.
func (w *writer) withdraw(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, other := range w.waiting {
		if other == j {
			w.waiting = slices.Delete(w.waiting, i, i+1)
			j.err = context.Canceled
			close(j.done)
			return true
		}
	}
	return false
}

func (w *writer) tell() {
	select {
	case w.wake <- struct{}{}:
	default: // it is told already
	}
}

// stop has the goroutine finish what it has begun, and fail the rest. It returns when the goroutine has ended.
func (w *writer) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.tell()
	<-w.done
}

func (w *writer) run() {
	defer close(w.done)
	for range w.wake {
		for jobs := w.take(); len(jobs) > 0; jobs = w.take() {
			w.commit(jobs)
		}
		w.mu.Lock()
		stopped := w.stopped
		w.mu.Unlock()
		if stopped {
			return
		}
	}
}

// take returns what goes into the next transaction.
func (w *writer) take() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		for _, j := range w.waiting {
			j.err = ErrClosed
			close(j.done)
		}
		w.waiting = nil
		return nil
	}
	n, bytes := 0, 0
	for n < len(w.waiting) && n < maxTasks && bytes < maxTaskBytes {
		bytes += w.waiting[n].task.size()
		n++
	}
	jobs := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	if len(w.waiting) == 0 {
		w.waiting = nil
	}
	return jobs
}

// commit makes the changes of all jobs durable. If that fails it tries again with each half: what one caller wants may
// be too much for a full disk, and what another one wants may not. If not even a transaction can be begun none is worth
// a wait of its own.
func (w *writer) commit(jobs []*job) {
	err := w.begin()
	if err == nil {
		if err = w.transact(jobs); err != nil && len(jobs) > 1 {
			w.commit(jobs[:len(jobs)/2])
			w.commit(jobs[len(jobs)/2:])
			return
		}
	}
	for _, j := range jobs {
		j.err = err
	}
	if err == nil {
		w.committed(jobs)
	}
	for _, j := range jobs {
		close(j.done)
	}
}

func (w *writer) begin() error {
	ctx := context.Background()
	if err := w.connect(ctx); err != nil {
		return err
	}
	if _, err := w.write.begin.ExecContext(ctx); err != nil {
		w.broken = true
		return err
	}
	return nil
}

// transact makes the changes of all jobs in the transaction that was begun, and commits it or rolls it back.
func (w *writer) transact(jobs []*job) (err error) {
	ctx := context.Background()
	defer func() {
		if err != nil { // after some errors SQLite has rolled back by itself
			_, failed := w.write.rollback.ExecContext(ctx)
			w.broken = failed != nil
		}
	}()
	for _, j := range jobs {
		if err := j.task.apply(w.write); err != nil {
			return err
		}
	}
	now := w.clock.now()
	if now-w.saved >= 1000 {
		if _, err := w.write.saveClock.ExecContext(ctx, now); err != nil {
			return err
		}
	}
	if err := w.isThere(); err != nil {
		return err
	}
	if _, err := w.write.commit.ExecContext(ctx); err != nil {
		return err
	}
	if now-w.saved >= 1000 {
		w.saved = now
	}
	return nil
}

// isThere refuses to write to a file that has lost its name: what is written there would be gone with the process, and nobody
// would have been told.
func (w *writer) isThere() error {
	info, err := os.Stat(w.path)
	if err != nil {
		return fmt.Errorf("the file is not there any more: %w; close the queue and open it again", err)
	}
	if !os.SameFile(info, w.at) {
		return errors.New("the file was replaced by another one; close the queue and open it again")
	}
	return nil
}

// connect replaces a connection in an unknown state.
func (w *writer) connect(ctx context.Context) error {
	if !w.broken && w.conn != nil {
		return nil
	}
	if err := w.close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
		return err
	}
	db, err := openDatabase(ctx, w.dsn, 1)
	if err != nil {
		return err
	}
	return w.use(ctx, db)
}

// use makes db the one to write with, for good or until it is broken.
func (w *writer) use(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	write, err := prepare(ctx, conn)
	if err != nil {
		return errors.Join(err, conn.Close(), db.Close())
	}
	w.db, w.conn, w.write, w.broken = db, conn, write, false
	return nil
}

// close releases the connection. It requires that the goroutine doesn't run, or is the caller.
func (w *writer) close() error {
	if w.conn == nil {
		return nil
	}
	w.write.close(w.conn)
	err := errors.Join(w.conn.Close(), w.db.Close())
	w.conn, w.db, w.write = nil, nil, nil
	return err
}

// statements are what is written, prepared on the writer's connection.
type statements struct {
	all []*sql.Stmt

	begin, commit, rollback, saveClock *sql.Stmt

	insert, recordAttempt, settle *sql.Stmt
	putAside                      *sql.Stmt

	findID, findNumber, redeliver           *sql.Stmt
	findOld, deleteAttempts, deleteMessages *sql.Stmt
	countPages, freePages                   *sql.Stmt
}

const settleQuery = `UPDATE messages
	SET state = ?2, reason = ?3, attempts = ?4, due_at = ?5, changed_at = iif(?2 = 'pending', changed_at, ?6)
	WHERE number = ?1 AND state = 'pending'`

func prepare(ctx context.Context, c *sql.Conn) (*statements, error) {
	var w statements
	for _, s := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&w.begin, "BEGIN IMMEDIATE"},
		{&w.commit, "COMMIT"},
		{&w.rollback, "ROLLBACK"},
		{&w.saveClock, "INSERT INTO clock (one, now_at) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET now_at = ?1"},
		{&w.insert, `INSERT INTO messages
			(id, state, host, endpoint, url, attempts, due_at, changed_at, created_at, accepted_at, checksum, header, payload)
			VALUES (?, 'pending', ?, ?, ?, ?, ?6, ?6, ?, ?6, ?, ?, ?) ON CONFLICT (id) DO NOTHING`},
		{&w.recordAttempt, `INSERT INTO attempts (message, nth, number, started_at, duration_us, status, error, response)
			VALUES (?1, (SELECT coalesce(max(nth), 0) + 1 FROM attempts WHERE message = ?1), ?, ?, ?, ?, ?, ?)`},
		{&w.settle, settleQuery},
		{&w.putAside, `UPDATE messages SET state = 'damaged', reason = ?2, changed_at = ?3 WHERE number = ?1 AND state = 'pending'`},
		{&w.findID, `SELECT number, state, changed_at, host, endpoint FROM messages WHERE id = ?`},
		{&w.findNumber, `SELECT number, state, changed_at, host, endpoint FROM messages WHERE number = ?`},
		{&w.redeliver, `UPDATE messages SET state = 'pending', reason = NULL, attempts = 0, due_at = ?2, changed_at = ?2,
			redelivered_at = max(?2, accepted_at)
			WHERE number = ?1 AND state IN ('delivered', 'dead')`},
		{&w.findOld, findOld},
		{&w.deleteAttempts, deleteAttempts},
		{&w.deleteMessages, deleteMessages},
		{&w.countPages, `SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count`},
		{&w.freePages, `PRAGMA incremental_vacuum`},
	} {
		stmt, err := c.PrepareContext(ctx, s.query)
		if err != nil {
			w.close(c)
			return nil, fmt.Errorf("prepare %.40q: %w", s.query, err)
		}
		*s.to = stmt
		w.all = append(w.all, stmt)
	}
	return &w, nil
}

// close must come before the connection's: database/sql closes no statements of an [sql.Conn], and SQLite keeps the
// connection, with its files and locks, until they are.
func (w *statements) close(c *sql.Conn) {
	if c.PingContext(context.Background()) != nil {
		return // database/sql has given up the connection, and closed it under them
	}
	for _, s := range w.all {
		s.Close() // an error is that of the last use
	}
}
