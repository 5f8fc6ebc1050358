package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/queue/sqlite" // with its driver
)

// pool is how many connections result.Pool has.
const pool = 4

// open opens a file. What writes it by hand writes the queue's own tables, with the settings of the queue.
func open(ctx context.Context, c Config) (writer, *sqlite.Queue, error) {
	q, err := sqlite.Open(ctx, c.Path)
	if err != nil {
		return nil, nil, err
	}
	connections := 1
	switch c.Writer {
	case result.Group:
		return queueWriter{q}, q, nil
	case result.Pool:
		connections = pool
	case result.Single:
	default:
		return nil, nil, errors.Join(fmt.Errorf("store: there is no writer %q", c.Writer), q.Close())
	}
	if err := q.Close(); err != nil { // it has made the tables
		return nil, nil, err
	}
	db, err := openDatabase(c.Path, connections)
	if err != nil {
		return nil, nil, err
	}
	insert, err := db.PrepareContext(ctx, `INSERT INTO messages
		(id, state, host, endpoint, url, attempts, due_at, changed_at, created_at, accepted_at, checksum, header, payload)
		VALUES (?1, 'pending', ?2, ?3, ?4, 0, ?5, ?5, ?5, ?5, 0, '', ?6)`)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	w := &byHand{database: db, insert: insert}
	for i := range hosts {
		w.hosts[i], w.endpoints[i] = message("", i, nil).Host(), message("", i, nil).Endpoint()
	}
	return w, nil, nil
}

// byHand writes each message in a transaction of its own. A single INSERT is one, and costs less than one between BEGIN
// and COMMIT.
type byHand struct {
	database
	insert           *sql.Stmt
	hosts, endpoints [hosts]string // spared it, where a queue must find them out
}

func (w *byHand) write(ctx context.Context, id string, host int, payload []byte) error {
	i := host % hosts
	_, err := w.insert.ExecContext(ctx, id, w.hosts[i], w.endpoints[i], urlOf(i), time.Now().UnixMilli(), payload)
	return err
}

// database is a file opened by hand.
type database struct{ *sql.DB }

func openDatabase(path string, connections int) (database, error) {
	query := url.Values{"_pragma": {
		"busy_timeout(20000)", "journal_mode(wal)", "synchronous(full)", "cache_size(-32768)", "wal_autocheckpoint(4096)",
	}}
	db, err := sql.Open("sqlite", "file://"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return database{}, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return database{db}, nil
}

// withDatabase opens a file for as long as do takes.
func withDatabase(path string, do func(database) error) error {
	db, err := openDatabase(path, 1)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// count returns how many messages are in each state. Each query is answered by an index.
func (db database) count() (map[string]int, error) {
	counts := map[string]int{}
	for state, where := range map[string]string{
		"pending": "state = 'pending'", "delivered": "state = 'delivered' AND state <> 'pending'", "dead": "state = 'dead' AND state <> 'pending'",
	} {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM messages WHERE " + where).Scan(&n); err != nil {
			return nil, err
		}
		if n > 0 {
			counts[state] = n
		}
	}
	return counts, nil
}

func (db database) postpone(by time.Duration) error {
	_, err := db.Exec("UPDATE messages SET due_at = due_at + ? WHERE state = 'pending'", by.Milliseconds())
	return err
}
