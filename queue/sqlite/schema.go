package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks a SQLite file as a queue of signpost's, in the place that SQLite keeps for such marks
// (https://www.sqlite.org/pragma.html#pragma_application_id): "sign" in ASCII.
const applicationID = 0x7369676e

// migrations lead from one version of the schema to the next; a file's version is SQLite's user_version. What has
// been released is never changed, only added to.
var migrations = []string{
	// 1. Times are milliseconds since 1970 (Unix), in columns that end in _at.
	`
CREATE TABLE messages (
	number         INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again; in the order in which they were accepted
	id             TEXT NOT NULL UNIQUE, -- webhook-id
	state          TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead', 'damaged')),
	reason         TEXT,                 -- why it is dead or damaged
	host           TEXT NOT NULL,        -- name and port: whose limits count
	endpoint       TEXT NOT NULL,        -- the URL without its query: whose line it stands in
	url            TEXT NOT NULL,
	attempts       INTEGER NOT NULL,     -- since it was accepted, or sent again
	due_at         INTEGER NOT NULL,     -- no attempt before, while it is pending
	changed_at     INTEGER NOT NULL,     -- when it came into its state
	created_at     INTEGER NOT NULL,
	accepted_at    INTEGER NOT NULL,
	redelivered_at INTEGER,              -- when it was last sent again
	checksum       INTEGER NOT NULL,     -- CRC-32C of what must not change
	header         TEXT NOT NULL,        -- a line for each value
	payload        BLOB NOT NULL
);
CREATE INDEX messages_due ON messages (endpoint, due_at) WHERE state = 'pending';
CREATE INDEX messages_ended ON messages (state, changed_at, host) WHERE state <> 'pending';

CREATE TABLE attempts (
	message     INTEGER NOT NULL REFERENCES messages (number),
	nth         INTEGER NOT NULL, -- of all of the message's attempts, in the order in which they were settled
	number      INTEGER NOT NULL, -- since it was accepted, or sent again
	started_at  INTEGER NOT NULL,
	duration_us INTEGER NOT NULL, -- microseconds
	status      INTEGER,          -- NULL: no response
	error       TEXT,             -- why there was none, or why it was cut off
	response    BLOB,             -- its first bytes
	PRIMARY KEY (message, nth)
) WITHOUT ROWID;

CREATE TABLE clock ( -- one row: the latest time that the queue has seen
	one    INTEGER PRIMARY KEY CHECK (one = 1),
	now_at INTEGER NOT NULL
);

CREATE VIEW deliveries AS -- for people
	SELECT m.number, m.id, m.state, m.host, m.url, m.attempts,
		strftime('%Y-%m-%d %H:%M:%fZ', m.accepted_at / 1000.0, 'unixepoch') AS accepted,
		strftime('%Y-%m-%d %H:%M:%fZ', m.changed_at / 1000.0, 'unixepoch') AS changed,
		CASE m.state WHEN 'pending' THEN strftime('%Y-%m-%d %H:%M:%fZ', m.due_at / 1000.0, 'unixepoch') END AS due,
		a.status AS last_status, a.error AS last_error, m.reason
	FROM messages m
	LEFT JOIN attempts a ON a.message = m.number AND a.nth = (SELECT max(nth) FROM attempts WHERE message = m.number);
`,
}

// vet refuses a file that isn't a queue, or one that a newer version of this package has written: its schema has more
// steps. It returns the version.
func vet(ctx context.Context, c *sql.Conn, steps int) (version int, err error) {
	id, version, tables, err := identify(ctx, c)
	switch {
	case err != nil:
		return 0, err
	case id == 0 && version == 0 && tables == 0: // new, or its creation was cut off
	case id != applicationID:
		return 0, fmt.Errorf("%w: it is a SQLite database of something else (application_id %#x, %d tables); give the queue a file of its own",
			ErrNotQueue, id, tables)
	case version < 0:
		return 0, fmt.Errorf("%w: its header has version %d of the schema; restore it from a backup", ErrDamaged, version)
	case version > steps:
		return 0, fmt.Errorf("%w: it has version %d of the schema and this program knows up to %d; run the program that wrote it, or a later one",
			ErrNewer, version, steps)
	}
	return version, nil
}

// migrate brings the file behind c to the newest version of the schema, each step in a transaction of its own.
func migrate(ctx context.Context, c *sql.Conn, steps []string) error {
	version, err := vet(ctx, c, len(steps))
	if err != nil {
		return err
	}
	for ; version < len(steps); version++ {
		if err := step(ctx, c, steps[version], version+1); err != nil {
			return fmt.Errorf("schema version %d: %w", version+1, err)
		}
	}
	return nil
}

// identify returns what a file says of itself.
func identify(ctx context.Context, c *sql.Conn) (id, version, tables int, err error) {
	for query, to := range map[string]*int{
		"PRAGMA application_id": &id, "PRAGMA user_version": &version, "SELECT count(*) FROM sqlite_schema": &tables,
	} {
		if err := c.QueryRowContext(ctx, query).Scan(to); err != nil {
			return 0, 0, 0, err
		}
	}
	return id, version, tables, nil
}

func step(ctx context.Context, c *sql.Conn, schema string, version int) error {
	tx, err := c.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	for _, statement := range []string{
		schema,
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		fmt.Sprintf("PRAGMA user_version = %d", version),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}
