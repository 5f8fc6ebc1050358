package sqlite

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queuetest"
)

func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // and ended by a signal, for which a goroutine waits
	if n := runtime.NumGoroutine(); code == 0 && n > before && !fuzzing {
		fmt.Fprintf(os.Stderr, "%d goroutines were left by the tests\n", n-before)
		code = 1
	}
	os.Exit(code)
}

func TestContract(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Harness {
		path := filepath.Join(t.TempDir(), "queue.db")
		return queuetest.Harness{Open: func(t testing.TB) signpost.Queue { return openQueue(t, path) }}
	})
}

// openQueue opens a queue that is closed with the test, if not before.
func openQueue(t testing.TB, path string, opts ...Option) *Queue {
	t.Helper()
	q, err := Open(context.Background(), path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, q.Close()) })
	return q
}

func newQueue(t testing.TB, opts ...Option) *Queue {
	t.Helper()
	return openQueue(t, filepath.Join(t.TempDir(), "queue.db"), opts...)
}

func messageTo(url, id string) *signpost.Message {
	return &signpost.Message{ID: id, URL: url, Payload: []byte(`{}`), CreatedAt: time.Now()}
}

func enqueue(t testing.TB, q *Queue, msgs ...*signpost.Message) {
	t.Helper()
	require.NoError(t, q.Enqueue(t.Context(), msgs...))
}

func receive(t testing.TB, q *Queue) signpost.Lease {
	t.Helper()
	l, err := q.Receive(t.Context())
	require.NoError(t, err)
	return l
}

// nothing checks that there is nothing to receive now.
func nothing(t testing.TB, q *Queue) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	assert.Nil(t, q.lines.turn(q.clock.now()))
}

// ask asks the file something, on a connection of its own.
func ask[T any](t testing.TB, path, query string, args ...any) T {
	t.Helper()
	db, err := openDatabase(t.Context(), dsn(path, "rw", "busy_timeout(5000)"), 1)
	require.NoError(t, err)
	defer db.Close()
	var answer T
	require.NoError(t, db.QueryRowContext(t.Context(), query, args...).Scan(&answer))
	return answer
}

// change changes the file as a person with sqlite3 does.
func change(t testing.TB, path, statement string, args ...any) {
	t.Helper()
	db, err := openDatabase(t.Context(), dsn(path, "rw", "busy_timeout(5000)"), 1)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

// A message is what it was, wherever it was read from: from memory, or from the file.
func TestMessagesAreKept(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message signpost.Message
	}{
		{name: "plain", message: signpost.Message{URL: "https://example.com/hook?a=b", Payload: []byte(`{"a":1}`)}},
		{name: "all fields", message: signpost.Message{
			URL: "http://localhost:8080/", Payload: []byte("\x00\xff"), Header: http.Header{"X-A": {"b", "", " c: d "}, "x-a": {"ü"}}, Attempts: 7,
		}},
		{name: "no payload", message: signpost.Message{URL: "https://example.com/"}},
		{name: "no URL", message: signpost.Message{Payload: []byte("{}")}},
		{name: "URL that can't be parsed", message: signpost.Message{URL: "http://[::1/\x7f%zz", Payload: []byte("{}")}},
		{name: "URL with a zero byte", message: signpost.Message{URL: "http://a/\x00b", Payload: []byte("{}")}},
		{name: "invalid UTF-8", message: signpost.Message{URL: "http://a/\xff", Header: http.Header{"\xfe": {"\xfd"}}, Payload: []byte("{}")}},
		{name: "ID with a zero byte", message: signpost.Message{ID: "a\x00b", URL: "http://a/", Payload: []byte("{}")}},
		{name: "large", message: signpost.Message{URL: "http://a/" + strings.Repeat("a", 1<<16), Payload: make([]byte, 5<<20)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.message
			if want.ID == "" {
				want.ID = "msg"
			}
			want.CreatedAt = time.UnixMilli(1700000000123)
			same := func(got *signpost.Message) {
				t.Helper()
				assert.True(t, want.CreatedAt.Equal(got.CreatedAt))
				if len(want.Payload) == 0 {
					assert.Empty(t, got.Payload)
					got = &signpost.Message{ID: got.ID, URL: got.URL, Header: got.Header, CreatedAt: got.CreatedAt, Attempts: got.Attempts}
					want.Payload = nil
				}
				assert.Equal(t, want, *got)
			}
			path := filepath.Join(t.TempDir(), "queue.db")
			q := openQueue(t, path)
			enqueue(t, q, &want)
			same(receive(t, q).Message())
			require.NoError(t, q.Close())
			q = openQueue(t, path)
			same(receive(t, q).Message())
			nothing(t, q)
		})
	}
}

func TestEnqueueRefuses(t *testing.T) {
	q := newQueue(t)
	good := messageTo("http://a/", "good")
	for _, tt := range []struct {
		name string
		bad  *signpost.Message
		says string
	}{
		{name: "nil", bad: nil, says: "message 2 of 2: message nil"},
		{name: "no ID", bad: messageTo("http://a/", ""), says: "its ID is empty"},
		{name: "negative attempts", bad: &signpost.Message{ID: "a", Attempts: -1}, says: "attempts -1"},
		{name: "header name", bad: &signpost.Message{ID: "a", Header: http.Header{"a:b": {"c"}}}, says: `header name "a:b"`},
		{name: "header value", bad: &signpost.Message{ID: "a", Header: http.Header{"A": {"c\nd"}}}, says: "header A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.ErrorContains(t, q.Enqueue(t.Context(), good, tt.bad), tt.says)
			assert.Zero(t, ask[int](t, q.file.path, "SELECT count(*) FROM messages"), "all or none")
		})
	}
}

// The first message with an ID stays, whoever comes second and whenever.
func TestEnqueueSameID(t *testing.T) {
	q := newQueue(t)
	first, second := messageTo("http://a/1", "msg"), messageTo("http://b/2", "msg")
	enqueue(t, q, first, second)
	enqueue(t, q, second)
	l := receive(t, q)
	assert.Equal(t, first.URL, l.Message().URL)
	enqueue(t, q, second)
	nothing(t, q)
	require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
	enqueue(t, q, second)
	nothing(t, q)

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { assert.NoError(t, q.Enqueue(t.Context(), messageTo("http://c/", "other"))) })
	}
	wg.Wait()
	assert.Equal(t, "other", receive(t, q).Message().ID)
	nothing(t, q)
	assert.Equal(t, 2, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
}

// Of many endpoints with messages in the file the first is served before the others are read.
func TestReceiveReadsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path)
	var msgs []*signpost.Message
	for i := range 200 {
		for j := range 3 {
			msgs = append(msgs, messageTo(fmt.Sprintf("http://h%03d/", i), fmt.Sprintf("%d.%d", i, j)))
		}
	}
	enqueue(t, q, msgs...)
	require.NoError(t, q.Close())
	q = openQueue(t, path)
	for i := range 5 {
		assert.Equal(t, fmt.Sprintf("%d.0", i), receive(t, q).Message().ID, "hosts give in turn")
		assert.Len(t, q.lines.out, 3*(i+1), "each is read when it is its turn")
	}
}

// What is put aside blocks nothing, and isn't given.
func TestDamagedMessagesArePutAside(t *testing.T) {
	for _, tt := range []struct{ name, damage string }{
		{name: "payload", damage: "UPDATE messages SET payload = x'7b7e' WHERE id = 'b'"},
		{name: "URL", damage: "UPDATE messages SET url = 'http://evil/' WHERE id = 'b'"},
		{name: "header", damage: "UPDATE messages SET header = 'A: b' WHERE id = 'b'"},
		{name: "ID", damage: "UPDATE messages SET id = 'd' WHERE id = 'b'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			q := openQueue(t, path)
			enqueue(t, q, messageTo("http://a/", "a"), messageTo("http://a/", "b"), messageTo("http://a/", "c"))
			require.NoError(t, q.Close())
			change(t, path, tt.damage)
			q = openQueue(t, path)
			assert.Equal(t, "a", receive(t, q).Message().ID)
			assert.Equal(t, "c", receive(t, q).Message().ID)
			nothing(t, q)
			require.NoError(t, q.Enqueue(t.Context(), messageTo("http://a/", "e"))) // the writer has come by since
			assert.Equal(t, 1, ask[int](t, path, "SELECT count(*) FROM messages WHERE state = 'damaged' AND reason LIKE 'checksum%'"))
		})
	}
}

// A message is in nobody's way while its host or endpoint is held, and comes when that is over.
func TestHold(t *testing.T) {
	for _, key := range []string{"a.example:80", "http://a.example:80/hook"} {
		t.Run(key, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(t)
				defer q.Close()
				m := messageTo("http://a.example/hook?x=y", "a")
				key := key
				if !strings.HasPrefix(key, "http") {
					key = m.Host()
				} else {
					key = m.Endpoint()
				}
				until := time.Now().Add(time.Minute + 500*time.Microsecond)
				q.Hold(key, until)
				enqueue(t, q, m, messageTo("http://b.example/", "b"))
				assert.Equal(t, "b", receive(t, q).Message().ID)
				assert.Equal(t, "a", receive(t, q).Message().ID)
				assert.False(t, time.Now().Before(until))
				assert.Less(t, time.Since(until), 2*time.Millisecond)

				q.Hold(key, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
				enqueue(t, q, messageTo(m.URL, "c"))
				nothing(t, q)
				time.AfterFunc(time.Hour, func() { q.Hold(key, time.Time{}) })
				started := time.Now()
				assert.Equal(t, "c", receive(t, q).Message().ID)
				assert.Equal(t, time.Hour, time.Since(started), "a hold ends when it is told to")
			})
		})
	}
}

func TestClose(t *testing.T) {
	t.Run("ends calls that wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(t)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					_, err := q.Receive(t.Context())
					assert.ErrorIs(t, err, ErrClosed)
				})
			}
			synctest.Wait()
			require.NoError(t, q.Close())
			wg.Wait()
		})
	})
	t.Run("ends later calls", func(t *testing.T) {
		q := newQueue(t)
		enqueue(t, q, messageTo("http://a/", "a"), messageTo("http://a/", "b"))
		settled, open := receive(t, q), receive(t, q)
		delivered := signpost.Outcome{State: signpost.Delivered}
		require.NoError(t, settled.Settle(t.Context(), delivered))
		require.NoError(t, q.Close())
		require.NoError(t, q.Close())
		_, err := q.Receive(t.Context())
		assert.ErrorIs(t, err, ErrClosed)
		assert.ErrorIs(t, q.Enqueue(t.Context(), messageTo("http://a/", "c")), ErrClosed)
		assert.ErrorIs(t, settled.Settle(t.Context(), delivered), signpost.ErrSettled)
		err = open.Settle(t.Context(), delivered)
		assert.ErrorIs(t, err, signpost.ErrLeaseLost)
		assert.ErrorIs(t, err, ErrClosed)
		q.Hold("a", time.Now().Add(time.Hour))
	})
	t.Run("whoever calls it waits", func(t *testing.T) {
		q := newQueue(t)
		enqueue(t, q, messageTo("http://a/", "a"))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				assert.NoError(t, q.Close())
				assert.False(t, q.file.lock.Locked(), "the file is given up by then")
			})
		}
		wg.Wait()
	})
	t.Run("leaves one file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queue.db")
		for i := range 3 {
			q := openQueue(t, path)
			enqueue(t, q, messageTo("http://a/", fmt.Sprint(i)))
			receive(t, q)
			require.NoError(t, q.Close())
			assert.NoFileExists(t, path+"-wal", "SQLite removes it with the last connection")
			assert.NoFileExists(t, path+"-shm")
		}
	})
	t.Run("against everything", func(t *testing.T) {
		for range 5 {
			path := filepath.Join(t.TempDir(), "queue.db")
			q := openQueue(t, path)
			var accepted, delivered atomic.Int64
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					for n := 0; ; n++ {
						if err := q.Enqueue(context.Background(), messageTo(fmt.Sprintf("http://h%d/", n%5), fmt.Sprintf("%d.%d", i, n))); err != nil {
							assert.ErrorIs(t, err, ErrClosed)
							return
						}
						accepted.Add(1)
					}
				})
				wg.Go(func() {
					for {
						l, err := q.Receive(context.Background())
						if err != nil {
							assert.ErrorIs(t, err, ErrClosed)
							return
						}
						if err = l.Settle(context.Background(), signpost.Outcome{State: signpost.Delivered}); err == nil {
							delivered.Add(1)
						} else {
							assert.ErrorIs(t, err, signpost.ErrLeaseLost)
						}
						q.Hold(l.Message().Host(), time.Now().Add(time.Millisecond))
					}
				})
			}
			for accepted.Load() < 50 {
				runtime.Gosched()
			}
			require.NoError(t, q.Close())
			wg.Wait()
			assert.Equal(t, accepted.Load(), ask[int64](t, path, "SELECT count(*) FROM messages"))
			assert.Equal(t, delivered.Load(), ask[int64](t, path, "SELECT count(*) FROM messages WHERE state = 'delivered'"))
		}
	})
}

// Everything at once, and in the end nothing is missing or has come twice.
func TestEverythingAtOnce(t *testing.T) {
	q := newQueue(t)
	const producers, each = 8, 100
	var seen sync.Map
	var ended atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for i := range producers {
		wg.Go(func() {
			for n := range each {
				url := fmt.Sprintf("http://h%d/%d", n%3, n%7)
				for { // some are cut off, and tried again
					short, stop := context.WithTimeout(ctx, time.Duration(n%10)*time.Millisecond)
					err := q.Enqueue(short, messageTo(url, fmt.Sprintf("%d.%d", i, n)))
					if err == nil || n%10 == 0 && q.Enqueue(ctx, messageTo(url, fmt.Sprintf("%d.%d", i, n))) == nil {
						stop()
						break
					}
					stop()
				}
			}
		})
		wg.Go(func() {
			for {
				l, err := q.Receive(ctx)
				if err != nil {
					assert.ErrorIs(t, err, context.Canceled)
					return
				}
				m := l.Message()
				o := signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: m.Attempts + 1, Body: []byte("ok")}}
				switch {
				case m.Attempts < len(m.ID)%3:
					o.State, o.RetryAt = signpost.Retrying, time.Now().Add(time.Duration(len(m.ID))*time.Millisecond)
				case len(m.ID)%2 == 0:
					o.State, o.Reason = signpost.Dead, signpost.ErrExhausted
				}
				if !assert.NoError(t, l.Settle(context.WithoutCancel(ctx), o)) {
					return
				}
				if o.State == signpost.Retrying {
					q.Hold(m.Endpoint(), time.Now().Add(3*time.Millisecond))
					continue
				}
				_, again := seen.LoadOrStore(m.ID, true)
				assert.False(t, again, "%s has come again", m.ID)
				if ended.Add(1) == producers*each {
					cancel()
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, producers*each, ended.Load())
	assert.Zero(t, ask[int](t, q.file.path, "SELECT count(*) FROM messages WHERE state = 'pending'"))
	assert.Equal(t, producers*each, ask[int](t, q.file.path, "SELECT count(*) FROM messages"))
	assert.Zero(t, ask[int](t, q.file.path, "SELECT count(*) FROM messages m WHERE attempts <> (SELECT count(*) FROM attempts WHERE message = m.number)"))
	q.mu.Lock()
	defer q.mu.Unlock()
	assert.Empty(t, q.lines.endpoints)
	assert.Empty(t, q.lines.out)
	assert.Zero(t, q.lines.buffered)
}

// plan returns how SQLite goes about a query.
func plan(t testing.TB, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(t, err)
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		steps = append(steps, detail)
	}
	require.NoError(t, rows.Err())
	return steps
}

// What has been read for a host that is held then makes room, and is read again afterwards, in order and a little at a time.
func TestHoldMakesRoom(t *testing.T) {
	q := newQueue(t)
	const size = 300 << 10
	var msgs []*signpost.Message
	for i := range 10 {
		m := messageTo("http://a/", fmt.Sprint(i))
		m.Payload = make([]byte, size)
		msgs = append(msgs, m)
	}
	enqueue(t, q, msgs...)
	require.Greater(t, q.lines.buffered, 9*size)
	q.Hold(msgs[0].Host(), time.Now().Add(time.Hour))
	assert.Zero(t, q.lines.buffered)
	enqueue(t, q, messageTo("http://a/", "10"))
	nothing(t, q)
	q.Hold(msgs[0].Host(), time.Time{})
	for i := range 11 {
		assert.Equal(t, fmt.Sprint(i), receive(t, q).Message().ID)
		assert.Less(t, q.lines.buffered, 2*size)
	}
	nothing(t, q)
}
