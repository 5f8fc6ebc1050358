package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/signposttest"
)

var quiet = WithLogger(slog.New(slog.DiscardHandler))

func openLogged(t *testing.T, opts ...Option) (q *Queue, path string) {
	path = filepath.Join(t.TempDir(), "queue.db")
	q, err := Open(t.Context(), path, append([]Option{quiet}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	return q, path
}

// enqueued puts messages with the given IDs into q, for https://hooks.example/ and the ID.
func enqueued(t *testing.T, q *Queue, ids ...string) {
	var msgs []*signpost.Message
	for _, id := range ids {
		msgs = append(msgs, &signpost.Message{
			ID: id, URL: "https://hooks.example/" + id, Payload: []byte(`{"id":"` + id + `"}`), CreatedAt: time.Now(),
		})
	}
	require.NoError(t, q.Enqueue(t.Context(), msgs...))
}

var (
	delivered = signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1, StatusCode: 200}}
	gone      = signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrGone, Attempt: signpost.Attempt{Number: 1, StatusCode: 410}}
)

// ended settles the next n messages.
func ended(t *testing.T, q *Queue, n int, as signpost.Outcome) {
	var wg sync.WaitGroup
	for range n {
		l, err := q.Receive(t.Context())
		require.NoError(t, err)
		wg.Go(func() { // all at once, so that they share the waits for the disk
			if err := l.Settle(context.Background(), as); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// raw changes the file as somebody with sqlite3 would.
func raw(t *testing.T, path, query string, args ...any) {
	db, err := sql.Open("sqlite", "file://"+path+"?_pragma=synchronous(off)&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

func collected(t *testing.T, records iter.Seq2[*Record, error]) (all []*Record) {
	for r, err := range records {
		require.NoError(t, err)
		all = append(all, r)
	}
	return all
}

func idsOf(records []*Record) string {
	var ids []string
	for _, r := range records {
		ids = append(ids, r.Message.ID)
	}
	return strings.Join(ids, " ")
}

// deliver has a dispatcher deliver what comes, until n messages have ended.
func deliver(t *testing.T, q *Queue, n int, send func(d *signpost.Dispatcher), opts ...signpost.Option) {
	ends := make(chan bool, n)
	d, err := signpost.New(append(opts, signpost.WithQueue(q), signpost.WithLogger(slog.New(slog.DiscardHandler)),
		signpost.WithObserver(func(_ context.Context, _ *signpost.Message, o signpost.Outcome) {
			if o.State == signpost.Delivered || o.State == signpost.Dead {
				ends <- true
			}
		}))...)
	require.NoError(t, err)
	send(d)
	for range n {
		select {
		case <-ends:
		case <-time.After(30 * time.Second):
			t.Fatal("messages did not end")
		}
	}
	require.NoError(t, d.Shutdown(t.Context())) // settles what was observed
}

func retries(attempts int) signpost.Option {
	return signpost.WithRetryPolicy(signpost.RetryPolicy{
		MaxAttempts: attempts,
		BackOff:     func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) },
	})
}

func TestLogTellsOfEveryAttempt(t *testing.T) {
	q, _ := openLogged(t, WithResponseBytes(9))
	r := signposttest.NewReceiver(t, signposttest.Reply{Status: 500, Body: "not today, thank you"}, signposttest.Reply{Cut: true})
	before := time.Now().Truncate(time.Millisecond)
	deliver(t, q, 1, func(d *signpost.Dispatcher) {
		require.NoError(t, d.Enqueue(t.Context(), &signpost.Message{
			ID: "msg_1", URL: r.URL + "/orders?token=secret", Payload: []byte(`{"order":7}`), Header: map[string][]string{"X-Shop": {"a", "b"}},
		}))
	}, append(r.Options(), retries(5))...)
	after := time.Now()

	records := collected(t, q.Messages(t.Context(), Filter{}))
	require.Len(t, records, 1)
	got := records[0]
	require.Equal(t, Delivered, got.State)
	require.Empty(t, got.Reason)
	require.Equal(t, "msg_1", got.Message.ID)
	require.Equal(t, r.URL+"/orders?token=secret", got.Message.URL)
	require.JSONEq(t, `{"order":7}`, string(got.Message.Payload))
	require.Equal(t, []string{"a", "b"}, got.Message.Header["X-Shop"])
	require.Equal(t, 3, got.Message.Attempts)
	require.Zero(t, got.DueAt)
	require.Zero(t, got.RedeliveredAt)
	for _, at := range []time.Time{got.Message.CreatedAt, got.AcceptedAt, got.ChangedAt} {
		require.WithinRange(t, at, before, after)
	}

	require.Len(t, got.Attempts, 3)
	for i, a := range got.Attempts {
		require.Equal(t, i+1, a.Number)
		require.WithinRange(t, a.Start, before, after)
		require.Positive(t, a.Duration)
		require.Less(t, a.Duration, after.Sub(before)+time.Millisecond)
	}
	require.Equal(t, 500, got.Attempts[0].StatusCode)
	require.Equal(t, "not today", string(got.Attempts[0].Body))
	require.Zero(t, got.Attempts[1].StatusCode)
	require.ErrorContains(t, got.Attempts[1].Err, "/orders")
	require.NotContains(t, got.Attempts[1].Err.Error(), "secret")
	require.Equal(t, 200, got.Attempts[2].StatusCode)
	require.NoError(t, got.Attempts[2].Err)
	require.Empty(t, got.Attempts[2].Body)
}

func TestLogTellsWhyAMessageIsDead(t *testing.T) {
	q, _ := openLogged(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	deliver(t, q, 1, func(d *signpost.Dispatcher) {
		_, err := d.Send(t.Context(), "http://"+address+"/?token=secret", 1)
		require.NoError(t, err)
	}, signpost.WithoutSigning(), signpost.WithAllowedNetworks("127.0.0.0/8"), retries(2))
	records := collected(t, q.Messages(t.Context(), Filter{Host: address}))
	require.Len(t, records, 1)
	require.Equal(t, Dead, records[0].State)
	require.Contains(t, records[0].Reason, signpost.ErrExhausted.Error())
	require.Len(t, records[0].Attempts, 2)
	require.ErrorContains(t, records[0].Attempts[1].Err, address)
	require.NotContains(t, records[0].Attempts[1].Err.Error(), "secret")
}

func TestMessagesInPages(t *testing.T) {
	q, _ := openLogged(t)
	var want []string
	for i := range 2*pageMessages + 50 {
		want = append(want, fmt.Sprintf("msg_%04d", i))
	}
	enqueued(t, q, want...)
	ended(t, q, len(want), gone)
	records := collected(t, q.Messages(t.Context(), Filter{State: Dead}))
	require.Equal(t, strings.Join(want, " "), idsOf(records))
	for _, r := range records {
		require.Len(t, r.Attempts, 1)
	}

	// The body of the loop may change what comes later.
	var got []string
	for r, err := range q.Messages(t.Context(), Filter{State: Dead}) {
		require.NoError(t, err)
		if len(got) == 0 {
			n, err := q.Redeliver(t.Context(), want[pageMessages], want[2*pageMessages+1])
			require.NoError(t, err)
			require.Equal(t, 2, n)
		}
		got = append(got, r.Message.ID)
	}
	require.Len(t, got, len(want)-2)
	require.NotContains(t, got, want[pageMessages])
	require.NotContains(t, got, want[2*pageMessages+1])
	n := 0
	for _, err := range q.Messages(t.Context(), Filter{State: Dead}) {
		require.NoError(t, err)
		if n++; n == 1 {
			_, err := q.Prune(t.Context(), 0)
			require.NoError(t, err)
		}
	}
	require.Equal(t, pageMessages, n) // they were read
}

func TestMessagesWithLargePayloads(t *testing.T) {
	q, _ := openLogged(t)
	payload := append(append([]byte{'"'}, bytes.Repeat([]byte{'x'}, pageBytes/2)...), '"')
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("msg_%d", i)
		want = append(want, id)
		require.NoError(t, q.Enqueue(t.Context(), &signpost.Message{ID: id, URL: "https://a.example/", Payload: payload}))
	}
	numbers, err := q.reader.numbers(t.Context(), &Filter{})
	require.NoError(t, err)
	page, rest, err := q.reader.page(t.Context(), &Filter{}, numbers)
	require.NoError(t, err)
	require.Len(t, page, 2)
	require.Len(t, rest, 5)
	records := collected(t, q.Messages(t.Context(), Filter{}))
	require.Equal(t, strings.Join(want, " "), idsOf(records))
	for _, r := range records {
		require.True(t, bytes.Equal(payload, r.Message.Payload))
	}
}

func TestMessagesLeavesNothingOpen(t *testing.T) {
	q, _ := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2")
	inUse := func() int { return q.reader.log.Stats().InUse }
	for _, err := range q.Messages(t.Context(), Filter{}) {
		require.NoError(t, err)
		require.Zero(t, inUse(), "in the loop's body")
		break
	}
	require.Zero(t, inUse())
	for range collected(t, q.Messages(t.Context(), Filter{})) {
		require.Zero(t, inUse())
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	n := 0
	for r, err := range q.Messages(ctx, Filter{}) {
		n++
		cancel()
		require.Equal(t, err != nil, r == nil)
		last = err
	}
	require.Equal(t, 2, n)
	require.Equal(t, context.Canceled, last)
	require.Zero(t, inUse())
	_, err := q.Counts(ctx)
	require.Equal(t, context.Canceled, err)
}

// Close doesn't wait for the caller's loop, even if that is where it is called.
func TestMessagesOfAClosedQueue(t *testing.T) {
	q, path := openLogged(t)
	var ids []string
	for i := range pageMessages + 1 {
		ids = append(ids, fmt.Sprintf("msg_%d", i))
	}
	enqueued(t, q, ids...)
	l, err := OpenLog(t.Context(), path)
	require.NoError(t, err)
	for name, log := range map[string]interface {
		Messages(context.Context, Filter) iter.Seq2[*Record, error]
		Counts(context.Context) (Counts, error)
		Close() error
	}{"Log": l, "Queue": q} {
		t.Run(name, func(t *testing.T) {
			n := 0
			var last error
			for _, err := range log.Messages(t.Context(), Filter{}) {
				if n++; n == 1 {
					require.NoError(t, log.Close())
				}
				last = err
			}
			require.Equal(t, pageMessages+1, n) // a page, and the error
			require.Equal(t, ErrClosed, last)
			for r, err := range log.Messages(t.Context(), Filter{}) {
				require.Nil(t, r)
				require.Equal(t, ErrClosed, err)
			}
			_, err := log.Counts(t.Context())
			require.Equal(t, ErrClosed, err)
			require.NoError(t, log.Close())
		})
	}
	for name, call := range map[string]func() error{
		"Redeliver":    func() error { _, err := q.Redeliver(t.Context(), "msg_1"); return err },
		"RedeliverAll": func() error { _, err := q.RedeliverAll(t.Context(), Filter{}); return err },
		"Prune":        func() error { _, err := q.Prune(t.Context(), 0); return err },
		"Check":        func() error { return q.Check(t.Context()) },
	} {
		require.Equal(t, ErrClosed, call(), name)
	}
}

// Those who read when the queue is closed hear of it, and Close returns when nobody uses the file any more.
func TestCloseWhileOthersRead(t *testing.T) {
	q, path := openLogged(t)
	var ids []string
	for i := range 3 * pageMessages {
		ids = append(ids, fmt.Sprintf("msg_%d", i))
	}
	enqueued(t, q, ids...)
	var wg sync.WaitGroup
	reading := make(chan bool, 1<<20)
	for range 4 {
		wg.Go(func() {
			for {
				for r, err := range q.Messages(context.Background(), Filter{}) {
					if err != nil && (err != ErrClosed || r != nil) {
						t.Errorf("record %v, error %v", r, err)
					}
					if err != nil {
						return
					}
				}
				reading <- true
			}
		})
	}
	for range 4 {
		<-reading
	}
	require.NoError(t, q.Close())
	_, err := os.Stat(path + "-wal")
	require.ErrorIs(t, err, fs.ErrNotExist)
	wg.Wait()
}

func TestDamagedRecordIsNeverShownAsRight(t *testing.T) {
	q, path := openLogged(t)
	enqueued(t, q, "msg_1", "msg_2", "msg_3")
	ended(t, q, 3, delivered)
	raw(t, path, `UPDATE messages SET payload = '{"id":"msg_X"}' WHERE id = 'msg_2'`)
	for name, f := range map[string]Filter{
		"all": {}, "delivered": {State: Delivered}, "their IDs": {IDs: []string{"msg_2", "msg_3", "msg_1"}},
	} {
		t.Run(name, func(t *testing.T) {
			records := collected(t, q.Messages(t.Context(), f))
			require.Len(t, records, 3)
			require.Equal(t, Delivered, records[0].State)
			got := records[1]
			require.Equal(t, Damaged, got.State)
			require.Equal(t, signpost.Message{ID: "msg_2", Attempts: 1}, got.Message)
			require.Regexp(t, `messages.number 2, where its state is delivered: checksum \w+ instead of \w+`, got.Reason)
			require.Len(t, got.Attempts, 1)
		})
	}
}
