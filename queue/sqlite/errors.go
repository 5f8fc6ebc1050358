package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What Open, OpenLog and a queue's methods return, wrapped with what was wrong and what to do.
var (
	ErrLocked   = errors.New("sqlite: file is locked")                         // by another queue, in this process or another one
	ErrNewer    = errors.New("sqlite: file is newer than this program")        // its schema is
	ErrNotQueue = errors.New("sqlite: file is not a queue")                    // but another database, or none
	ErrDamaged  = errors.New("sqlite: file is damaged")                        // truncated, or its content contradicts itself
	ErrFull     = errors.New("sqlite: no space left")                          // nothing was written; it works again when there is space
	ErrReadOnly = errors.New("sqlite: file is read-only")                      // or its folder
	ErrClosed   = errors.New("sqlite: queue is closed")                        // by Close
	errBusy     = errors.New("sqlite: another program holds the file's locks") // sqlite3 with a transaction open, say
)

// explain wraps SQLite's error in the one of this package that says what it means to a caller. doing is what was
// being done, and to which file.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("sqlite: %s: %w", doing, err)
	}
	if e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE { // there is no room for path-shm
		return fmt.Errorf("%w: %s: %w", ErrFull, doing, err)
	}
	var what error
	switch e.Code() & 0xff { // the primary code; the upper bits say more of the same
	case sqlite3.SQLITE_CORRUPT:
		what = ErrDamaged
	case sqlite3.SQLITE_NOTADB:
		what = ErrNotQueue
	case sqlite3.SQLITE_FULL:
		what = ErrFull
	case sqlite3.SQLITE_READONLY:
		what = ErrReadOnly
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		what = errBusy
	default:
		return fmt.Errorf("sqlite: %s: %w", doing, err)
	}
	return fmt.Errorf("%w: %s: %w", what, doing, err)
}
