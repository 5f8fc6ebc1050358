package faults

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// clocks are faults of the wall clock. A test can't set it, but what a run under another clock leaves behind is times in the
// file, and those can be written.
var clocks = []fault{
	{"the clock is set back by a day between two runs",
		"The queue's time goes on from where it was: what was due comes at once, what waits waits for the rest of its time, and " +
			"nothing waits for a day.", clockBack},
	{"the clock is a day ahead for one run",
		"That run takes what waits to be due, as after a day. In the next one the queue's time goes on from there, and nothing " +
			"waits for a day.", clockAhead},
}

const (
	day  = 24 * time.Hour
	wait = 1500 * time.Millisecond
)

// shift moves the times of a closed file, as if the run that wrote them had had a clock ahead of the real one.
func shift(t *testing.T, path string, ahead time.Duration) {
	t.Helper()
	db := openRaw(t, path)
	_, err := db.Exec("UPDATE messages SET due_at = due_at + ?1, changed_at = changed_at + ?1, accepted_at = accepted_at + ?1",
		ahead.Milliseconds())
	require.NoError(t, err)
	setClock(t, path, ahead)
	require.NoError(t, db.Close())
}

// setClock sets the time that the queue has seen last to that of a clock which is ahead.
func setClock(t *testing.T, path string, ahead time.Duration) {
	t.Helper()
	db := openRaw(t, path)
	_, err := db.Exec("INSERT OR REPLACE INTO clock (one, now_at) VALUES (1, ?)", time.Now().Add(ahead).UnixMilli())
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// remaining is how long a message has to wait, by the file's own clock.
func remaining(t *testing.T, path, id string) time.Duration {
	t.Helper()
	db := openRaw(t, path)
	var ms int64
	require.NoError(t, db.QueryRow("SELECT due_at - (SELECT now_at FROM clock) FROM messages WHERE id = ?", id).Scan(&ms))
	require.NoError(t, db.Close())
	return time.Duration(ms) * time.Millisecond
}

// clockScene makes a file in which messages are due, and others wait. They are made by a clock that is ahead.
func clockScene(t *testing.T, ahead time.Duration) (path string) {
	path = newPath(t)
	q := newQueue(t, path)
	for _, id := range []string{"soon", "later", "due0", "due1"} {
		m := newMessage("https://a.example", id, 100)
		m.CreatedAt = m.CreatedAt.Add(ahead)
		require.NoError(t, q.Enqueue(ctx, m))
		if id[:3] == "due" {
			continue
		}
		at := time.Now().Add(wait)
		if id == "later" {
			at = time.Now().Add(time.Hour)
		}
		require.NoError(t, retry(receiveOne(t, q), at))
	}
	require.NoError(t, q.Close())
	return path
}

func retry(l signpost.Lease, at time.Time) error {
	return l.Settle(ctx, signpost.Outcome{State: signpost.Retrying, RetryAt: at, Attempt: signpost.Attempt{
		Number: l.Message().Attempts + 1, Start: time.Now(), StatusCode: 500,
	}})
}

func clockBack(t *testing.T) {
	path := clockScene(t, day)
	shift(t, path, day)
	rest := remaining(t, path, "soon")
	require.Positive(t, rest)
	opened := time.Now()
	q := newQueue(t, path)
	comeAtOnce(t, q, "due0", "due1")
	l := receiveOne(t, q)
	assert.Equal(t, "soon", l.Message().ID)
	assert.GreaterOrEqual(t, time.Since(opened), rest, "it waits for the rest of its time")
	require.NoError(t, settle(l))
	waits(t, q)

	// Over a second run under the right clock, too.
	require.NoError(t, q.Enqueue(ctx, newMessage("https://b.example", "again", 100)))
	at := time.Now().Add(wait)
	require.NoError(t, retry(receiveOne(t, q), at))
	require.NoError(t, q.Close())
	q = newQueue(t, path)
	l = receiveOne(t, q)
	assert.Equal(t, "again", l.Message().ID)
	assert.False(t, time.Now().Before(at), "it comes early by %v", time.Until(at))
	waits(t, q)
}

// comeAtOnce receives the messages with these IDs: they have been due for longer than what waits.
func comeAtOnce(t *testing.T, q *sqlite.Queue, ids ...string) {
	t.Helper()
	var came []string
	for range ids {
		l := receiveOne(t, q)
		came = append(came, l.Message().ID)
		require.NoError(t, settle(l))
	}
	require.ElementsMatch(t, ids, came)
}

// waits asserts that nothing comes yet.
func waits(t *testing.T, q *sqlite.Queue) {
	t.Helper()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err := q.Receive(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func clockAhead(t *testing.T) {
	path := clockScene(t, 0)
	setClock(t, path, day)
	q := newQueue(t, path)
	came := map[string]bool{}
	for range 4 {
		l := receiveOne(t, q)
		came[l.Message().ID] = true
		require.NoError(t, settle(l))
	}
	require.Len(t, came, 4, "after a day everything is due")
	require.NoError(t, q.Enqueue(ctx, newMessage("https://b.example", "new", 100)))
	at := time.Now().Add(wait)
	require.NoError(t, retry(receiveOne(t, q), at), "what is new comes at once")
	l := receiveOne(t, q)
	assert.Equal(t, "new", l.Message().ID)
	assert.False(t, time.Now().Before(at), "it comes early by %v", time.Until(at))
}
