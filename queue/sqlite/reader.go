package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
)

// A reader reads the file.
type reader struct {
	path  string
	clock clock
	db    *sql.DB // for Receive; nil in a Log
	log   *sql.DB // for whatever may take long, so that Receive never waits for a connection
	gate  gate
}

// How many connections read the file at once.
const (
	readers    = 4
	logReaders = 2
)

// open opens a queue's file, which is there and has the newest schema.
func (r *reader) open(ctx context.Context, path string, c clock) (err error) {
	r.path, r.clock = path, c
	r.gate.open()
	settings := []string{"busy_timeout(5000)", "query_only(1)"}
	if r.db, err = openDatabase(ctx, dsn(path, "rw", settings...), readers); err != nil {
		return err
	}
	r.log, err = openDatabase(ctx, dsn(path, "rw", append(settings, "checkpoint_fullfsync(1)")...), logReaders)
	return err
}

// open opens a file of which nothing is known.
func (l *Log) open(ctx context.Context, path string) (err error) {
	r := &l.reader
	r.path = path
	r.gate.open()
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: it is no regular file", ErrNotQueue)
	}
	if r.log, err = openDatabase(ctx, dsn(path, "ro", "busy_timeout(5000)"), logReaders); err != nil {
		return err
	}
	conn, err := r.log.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := recognize(ctx, conn); err != nil {
		return err
	}
	var seen int64
	if err := conn.QueryRowContext(ctx, "SELECT coalesce(max(now_at), 0) FROM clock").Scan(&seen); err != nil {
		return err
	}
	r.clock = newClock(seen)
	return nil
}

// recognize refuses a file that isn't a queue with this package's schema.
func recognize(ctx context.Context, c *sql.Conn) error {
	id, version, tables, err := identify(ctx, c)
	switch {
	case err != nil:
		return err
	case id == 0 && tables == 0:
		return fmt.Errorf("%w: it is empty; a queue is made by Open", ErrNotQueue)
	case id != applicationID:
		return fmt.Errorf("%w: it is a SQLite database of something else (application_id %#x, %d tables)", ErrNotQueue, id, tables)
	case version > len(migrations):
		return fmt.Errorf("%w: it has version %d of the schema and this program knows up to %d; "+
			"run the program that wrote it, or a later one", ErrNewer, version, len(migrations))
	case version < len(migrations):
		return fmt.Errorf("it has version %d of the schema and this program reads %d; "+
			"open the queue with this program once, which brings it up", version, len(migrations))
	}
	return nil
}

// explain says what an error in a call that ctx comes from the gate for means.
func (r *reader) explain(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case context.Cause(ctx) == ErrClosed:
		return ErrClosed
	case ctx.Err() != nil: // SQLite was interrupted
		return ctx.Err()
	}
	return explain(doing+" in "+r.path, err)
}

// close has calls that read end, waits for them, and gives up the connections.
func (r *reader) close() error {
	if !r.gate.close() {
		return nil
	}
	var errs []error
	for _, db := range []*sql.DB{r.db, r.log} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// A gate lets calls in until it is closed, and then has them end and waits for them.
type gate struct {
	ending context.Context // done when the gate is closed
	end    context.CancelFunc

	mu     sync.Mutex // protects the following fields; a leaf
	closed bool
	calls  sync.WaitGroup // begun under mu while closed is false
}

func (g *gate) open() { g.ending, g.end = context.WithCancel(context.Background()) }

// enter lets a call in until it calls leave, with a context that ends when ctx does, or with cause ErrClosed.
func (g *gate) enter(ctx context.Context) (inside context.Context, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, nil, ErrClosed
	}
	g.calls.Add(1)
	inside, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(g.ending, func() { cancel(ErrClosed) })
	return inside, func() {
		stop()
		cancel(nil)
		g.calls.Done()
	}, nil
}

// close reports whether it has closed the gate; it was not opened, or is closed already, otherwise.
func (g *gate) close() bool {
	g.mu.Lock()
	first := !g.closed && g.end != nil
	g.closed = true
	g.mu.Unlock()
	if first {
		g.end()
	}
	g.calls.Wait()
	return first
}
