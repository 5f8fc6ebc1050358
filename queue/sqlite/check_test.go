package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	q, path := openLogged(t)
	require.NoError(t, q.Check(t.Context()))
	enqueued(t, q, "msg_1", "msg_2", "msg_3")
	ended(t, q, 1, delivered)
	require.NoError(t, q.Check(t.Context()))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, context.Canceled, q.Check(ctx))

	raw(t, path, "UPDATE messages SET url = 'https://elsewhere.example/' WHERE id = 'msg_3'")
	err := q.Check(t.Context())
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, `"msg_3"`)
	require.NotContains(t, err.Error(), `"msg_2"`)
	require.Equal(t, Counts{Pending: 2, Delivered: 1}, must(q.Counts(t.Context()))) // it changes nothing

	raw(t, path, "UPDATE messages SET payload = 'x', state = 'pending'")
	for i := range maxFaults {
		enqueued(t, q, fmt.Sprintf("msg_more_%d", i))
	}
	raw(t, path, "UPDATE messages SET payload = 'x'")
	require.ErrorContains(t, q.Check(t.Context()), "and more")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// An index that doesn't fit its table would have messages forgotten; no checksum tells.
func TestCheckFindsADamagedIndex(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2", "msg_3")
	require.NoError(t, q.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	var root, size int64
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE name = 'messages_due'").Scan(&root))
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA page_size").Scan(&size))
	require.NoError(t, db.Close())
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("elsewhere"), root*size-10) // in the index's last page, which ends with its first entry
	require.NoError(t, err)
	require.NoError(t, f.Close())

	q, err = Open(t.Context(), path, quiet)
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	err = q.Check(t.Context())
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "messages_due")
}

// A queue that is closed is one file again: nothing keeps SQLite from bringing path-wal into it.
func TestCloseLeavesOneFile(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2")
	ended(t, q, 1, delivered)
	require.Len(t, collected(t, q.Messages(t.Context(), Filter{})), 2)
	require.NoError(t, q.Close())
	names, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	require.Equal(t, []string{path, path + ".lock"}, names)
}
