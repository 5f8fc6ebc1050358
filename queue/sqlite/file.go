package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// A file is a queue's place on disk: path, and beside it SQLite's own path-wal and path-shm, and path.lock.
type file struct {
	path string // absolute, without symbolic links
	lock *flock.Flock
}

// resolve returns the one name by which path is known, so that two names of one file have one lock.
func resolve(path string) (string, error) {
	if path == "" || strings.HasPrefix(path, ":") || strings.HasPrefix(path, "file:") {
		return "", fmt.Errorf("sqlite: path %q: give the name of a file; a queue in memory is what signpost has without WithQueue", path)
	}
	if strings.ContainsRune(path, 0) {
		return "", fmt.Errorf("sqlite: path %q: it has a zero byte", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlite: path %q: %w", path, err)
	}
	real, err := follow(abs)
	if err != nil {
		return "", fmt.Errorf("sqlite: path %q: %w", path, err)
	}
	return real, nil
}

// follow is filepath.EvalSymlinks for a file that may have to be made, in a folder that must be there. A link to it may be
// there already.
func follow(path string) (string, error) {
	for range 40 { // links, as many as Linux follows
		real, err := filepath.EvalSymlinks(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return real, err
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return "", err
		}
		real = filepath.Join(dir, filepath.Base(path))
		if path, err = os.Readlink(real); err != nil {
			return real, nil // no link
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
	}
	return "", errors.New("too many symbolic links")
}

// lockFile takes the lock that keeps other queues from the file. The operating system drops it when the process ends,
// however it ends; so the lock file stays behind, and means nothing by itself. SQLite's own locks can't serve: they
// would keep readers out too.
func lockFile(path string) (*file, error) {
	f := &file{path: path, lock: flock.New(path+".lock", flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))}
	locked, err := f.lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return nil, fmt.Errorf("%w: %s.lock: %w; a queue needs to write its file and its folder", ErrReadOnly, path, err)
	case errors.Is(err, syscall.ENOSPC):
		return nil, fmt.Errorf("%w: %s.lock: %w", ErrFull, path, err)
	case err != nil:
		return nil, fmt.Errorf("sqlite: lock %s.lock: %w", path, err)
	case !locked:
		return nil, fmt.Errorf("%w: %s by %s; close it there, or give each its own file (OpenLog reads beside a queue)",
			ErrLocked, path, holder(path))
	}
	f.sign()
	return f, nil
}

// make makes the file if there is none, empty: SQLite would give it permissions that let others read it. Those of path-wal
// and path-shm follow from the file's.
func (f *file) make() error {
	made, err := os.OpenFile(f.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return made.Close()
}

// sign says in the lock file who holds it, for those who don't get it. On a full disk it can't, and nothing depends on it.
func (f *file) sign() {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	text := fmt.Sprintf("process %d (%s) on host %s since %s\n",
		os.Getpid(), filepath.Base(os.Args[0]), name, time.Now().UTC().Format(time.RFC3339))
	_ = os.WriteFile(f.path+".lock", []byte(text), 0o600)
}

func holder(path string) string {
	text, err := os.ReadFile(path + ".lock")
	if who := strings.TrimSpace(string(text)); err == nil && who != "" {
		return who
	}
	return "another process"
}

// dsn is SQLite's URI for the file (https://www.sqlite.org/uri.html) with the given settings.
func dsn(path, mode string, pragmas ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	query := url.Values{"mode": {mode}, "_pragma": pragmas, "_error_rc": {"true"}, "_dqs": {"false"}, "_defensive": {"true"}}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode()
}

// openDatabase opens the file for at most n connections.
func openDatabase(ctx context.Context, dsn string, n int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// vetFile refuses a file that is none of this package's, before anything is written to it: a mere PRAGMA journal_mode
// changes another application's database.
func vetFile(ctx context.Context, path string) (err error) {
	log, err := os.Stat(path + "-wal")
	hasLog := err == nil && log.Size() > 0
	if info, err := os.Stat(path); err == nil && info.Size() <= 1 && hasLog {
		// SQLite would take it for a new one and delete path-wal. It never writes there before it has written to the file itself.
		return fmt.Errorf("%w: it is empty, but %s-wal isn't; restore both from a backup", ErrDamaged, path)
	}
	db, err := openDatabase(ctx, dsn(path, "rwc", "busy_timeout(5000)", "fullfsync(1)", "checkpoint_fullfsync(1)"), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := vet(ctx, conn, len(migrations)); err != nil || hasLog {
		return err
	}
	return checkSize(ctx, conn, path)
}

// checkSize compares what the file's header says of its size with what it has: a file that was cut short may else go
// unnoticed until the missing part is needed. It requires that everything is in the file and nothing in path-wal, and comes
// before anything is written: bringing path-wal back gives the file its size.
func checkSize(ctx context.Context, c *sql.Conn, path string) error {
	var pages, size int64
	if err := c.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	if err := c.QueryRowContext(ctx, "PRAGMA page_size").Scan(&size); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < pages*size {
		return fmt.Errorf("%w: it has %d bytes of %d; restore it from a backup, or save what is left with sqlite3's .recover",
			ErrDamaged, info.Size(), pages*size)
	}
	return nil
}
