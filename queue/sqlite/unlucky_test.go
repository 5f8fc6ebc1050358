package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Attempts that can't be read are an error, and not a record without attempts.
func TestMessagesTellErrorsOfAttempts(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "a")
	ended(t, q, 1, delivered)
	raw(t, path, "UPDATE attempts SET duration_us = 'x'")
	var got error
	for _, err := range q.Messages(t.Context(), Filter{}) {
		if err != nil {
			got = err
		}
	}
	assert.Error(t, got)
}

// A row with a column that can't be read keeps back none of those after it.
func TestMessagesListDamagedRows(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "a", "b", "c")
	raw(t, path, "UPDATE messages SET attempts = 'x' WHERE id = 'a'")
	ids := ""
	for r, err := range q.Messages(t.Context(), Filter{}) {
		if !assert.NoError(t, err) {
			break
		}
		ids += r.Message.ID
	}
	assert.Equal(t, "abc", ids)
}

// A listing that goes on while messages are pruned and accepted shows nobody else's.
func TestNumbersAreNotReused(t *testing.T) {
	q, _ := openLogged(t)
	var ids []string
	for i := range pageMessages + 1 {
		ids = append(ids, fmt.Sprint("a", i))
	}
	enqueued(t, q, ids...)
	ended(t, q, len(ids), gone)
	first := true
	for r, err := range q.Messages(t.Context(), Filter{Host: "hooks.example"}) {
		require.NoError(t, err)
		if first {
			first = false
			_, err := q.Prune(t.Context(), 0)
			require.NoError(t, err)
			for i := range ids {
				enqueue(t, q, messageTo("https://other.example/", fmt.Sprint("b", i)))
			}
		}
		assert.Equal(t, "hooks.example:443", r.Message.Host(), r.Message.ID)
	}
}

// What RedeliverAll has found may have been pruned when its step comes.
func TestRedeliverAllKeepsToItsFilter(t *testing.T) {
	q, _ := openLogged(t)
	enqueued(t, q, "a")
	ended(t, q, 1, gone)
	f := Filter{State: Dead, Host: "hooks.example"}
	numbers, err := q.reader.numbers(t.Context(), &f) // as RedeliverAll does
	require.NoError(t, err)
	_, err = q.Prune(t.Context(), 0) // meanwhile
	require.NoError(t, err)
	enqueue(t, q, messageTo("https://other.example/", "b"))
	ended(t, q, 1, gone)
	r := &redelivery{queue: q, numbers: numbers, filter: f} // goes on as RedeliverAll does
	require.NoError(t, q.do(t.Context(), "redeliver", r))
	assert.Empty(t, r.rows)
}

// The clock is saved once a second: after a step back it may be behind accepted_at.
func TestRedeliverAfterClockWasSetBack(t *testing.T) {
	path := t.TempDir() + "/q.db"
	q := openQueue(t, path, quiet)
	enqueued(t, q, "warm")
	ended(t, q, 1, gone)
	time.Sleep(700 * time.Millisecond)
	enqueued(t, q, "a")
	ended(t, q, 1, gone)
	saved := ask[int64](t, path, "SELECT now_at FROM clock")
	require.NoError(t, q.Close())
	q = openQueue(t, path, quiet)
	q.clock.base = time.Duration(saved) * time.Millisecond // the wall clock was set back by a day
	q.clock.opened = time.Now()
	n, err := q.Redeliver(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	for r, err := range q.Messages(t.Context(), Filter{IDs: []string{"a"}}) {
		require.NoError(t, err)
		assert.Equal(t, Pending, r.State, r.Reason)
	}
}
