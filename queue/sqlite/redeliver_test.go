package sqlite

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/signposttest"
)

// A receiver fails, is mended, and gets what it has missed, under the same IDs.
func TestRedeliverEndToEnd(t *testing.T) {
	for name, c := range map[string]struct {
		replies []signposttest.Reply
		reason  error
		want    string // number:status of all attempts
	}{
		"gone":      {[]signposttest.Reply{{Status: 410}}, signpost.ErrGone, "1:410 1:200"},
		"exhausted": {[]signposttest.Reply{{Status: 500}, {Status: 404}, {Status: 500}}, signpost.ErrExhausted, "1:500 2:404 3:500 1:200"},
		"again": {
			[]signposttest.Reply{{Status: 500}, {Status: 500}, {Status: 500}, {Status: 500}}, signpost.ErrExhausted,
			"1:500 2:500 3:500 1:500 2:200",
		},
	} {
		t.Run(name, func(t *testing.T) {
			q, path := openLogged(t)
			r := signposttest.NewReceiver(t, c.replies...)
			options := append(r.Options(), retries(3))
			var id string
			deliver(t, q, 1, func(d *signpost.Dispatcher) {
				var err error
				id, err = d.Send(t.Context(), r.URL+"/hook", map[string]int{"order": 7})
				require.NoError(t, err)
			}, options...)
			dead := collected(t, q.Messages(t.Context(), Filter{State: Dead}))
			require.Equal(t, id, idsOf(dead))
			require.Contains(t, dead[0].Reason, c.reason.Error())

			n, err := q.Redeliver(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			pending := collected(t, q.Messages(t.Context(), Filter{State: Pending}))
			require.Equal(t, id, idsOf(pending))
			require.Empty(t, pending[0].Reason)
			require.Equal(t, pending[0].RedeliveredAt, pending[0].DueAt)
			require.Equal(t, pending[0].RedeliveredAt, pending[0].ChangedAt)
			require.Equal(t, dead[0].Attempts, pending[0].Attempts)
			require.Zero(t, pending[0].Message.Attempts)

			require.NoError(t, q.Close()) // it outlives the queue
			q, err = Open(t.Context(), path, quiet)
			require.NoError(t, err)
			defer func() { require.NoError(t, q.Close()) }()
			deliver(t, q, 1, func(*signpost.Dispatcher) {}, options...)
			done := collected(t, q.Messages(t.Context(), Filter{}))
			require.Equal(t, id, idsOf(done))
			require.Equal(t, Delivered, done[0].State)
			require.Equal(t, pending[0].RedeliveredAt, done[0].RedeliveredAt)
			var attempts []string
			for _, a := range done[0].Attempts {
				attempts = append(attempts, fmt.Sprintf("%d:%d", a.Number, a.StatusCode))
			}
			require.Equal(t, c.want, strings.Join(attempts, " "))
			for _, request := range r.Wait(len(done[0].Attempts)) {
				require.Equal(t, id, request.ID)
				require.JSONEq(t, `{"order": 7}`, string(request.Body))
			}
		})
	}
}

// A message that is sent again has all of its attempts and its age before it, and comes to who waits.
func TestRedeliveredMessageIsYoung(t *testing.T) {
	q, _ := openLogged(t)
	lastYear := time.Now().Add(-365 * 24 * time.Hour).Truncate(time.Millisecond)
	require.NoError(t, q.Enqueue(t.Context(), &signpost.Message{
		ID: "msg_1", URL: "https://a.example/", Payload: []byte("1"), CreatedAt: lastYear, Attempts: 5,
	}))
	ended(t, q, 1, delivered)

	leases := make(chan signpost.Lease)
	go func() {
		l, err := q.Receive(context.Background())
		if err != nil {
			t.Error(err)
		}
		leases <- l
	}()
	before := time.Now().Truncate(time.Millisecond)
	n, err := q.Redeliver(t.Context(), "msg_1")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	l := <-leases
	require.Equal(t, "msg_1", l.Message().ID)
	require.Zero(t, l.Message().Attempts)
	require.WithinRange(t, l.Message().CreatedAt, before, time.Now())
	require.NoError(t, l.Settle(t.Context(), delivered))

	record := collected(t, q.Messages(t.Context(), Filter{}))[0]
	require.True(t, lastYear.Equal(record.Message.CreatedAt))
	require.Equal(t, 1, record.Message.Attempts)
	require.Len(t, record.Attempts, 2)
}

func TestRedeliver(t *testing.T) {
	for name, c := range map[string]struct {
		ids     string
		want    int
		pending string
		says    []string
	}{
		"none":              {"", 0, "msg_p3 msg_p6", nil},
		"dead":              {"msg_x2 msg_x4", 2, "msg_x2 msg_p3 msg_x4 msg_p6", nil},
		"delivered":         {"msg_d1", 1, "msg_d1 msg_p3 msg_p6", nil},
		"pending":           {"msg_p3 msg_p6", 0, "msg_p3 msg_p6", nil},
		"pending and dead":  {"msg_p3 msg_x5", 1, "msg_p3 msg_x5 msg_p6", nil},
		"twice":             {"msg_x5 msg_x5", 1, "msg_p3 msg_x5 msg_p6", nil},
		"dead and unknown":  {"msg_x2 msg_no", 0, "msg_p3 msg_p6", []string{"msg_no", "not in the file"}},
		"damaged":           {"msg_y8", 0, "msg_p3 msg_p6", []string{"msg_y8", "damaged"}},
		"all sorts":         {"msg_x2 msg_y8 msg_p3 msg_no1 msg_no2", 0, "msg_p3 msg_p6", []string{"msg_y8", "msg_no1", "msg_no2"}},
		"very many unknown": {strings.Repeat("msg_no msg_x2 ", 500), 0, "msg_p3 msg_p6", []string{"msg_no", "and 490 more"}},
	} {
		t.Run(name, func(t *testing.T) {
			q, _ := logOfEight(t)
			n, err := q.Redeliver(t.Context(), strings.Fields(c.ids)...)
			if c.says == nil {
				require.NoError(t, err)
			}
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
				require.NotContains(t, err.Error(), "msg_x2")
				require.Less(t, len(err.Error()), 1000)
			}
			require.Equal(t, c.want, n)
			require.Equal(t, c.pending, idsOf(collected(t, q.Messages(t.Context(), Filter{State: Pending}))))
		})
	}
}

func TestRedeliverAll(t *testing.T) {
	for name, c := range map[string]struct {
		filter  Filter
		want    int
		pending string
	}{
		"dead":                 {Filter{}, 3, "msg_x2 msg_p3 msg_x4 msg_x5 msg_p6"},
		"delivered":            {Filter{State: Delivered}, 2, "msg_d1 msg_p3 msg_p6 msg_d7"},
		"dead of a host since": {Filter{State: Dead, Host: "a.example", Since: hour(3)}, 1, "msg_p3 msg_x5 msg_p6"},
		"IDs":                  {Filter{IDs: []string{"msg_d1", "msg_x4", "msg_no", "msg_y8", "msg_p3"}}, 1, "msg_p3 msg_x4 msg_p6"},
		"limit":                {Filter{Limit: 2}, 2, "msg_x2 msg_p3 msg_x4 msg_p6"},
		"nothing":              {Filter{Host: "c.example"}, 0, "msg_p3 msg_p6"},
	} {
		t.Run(name, func(t *testing.T) {
			q, _ := logOfEight(t)
			n, err := q.RedeliverAll(t.Context(), c.filter)
			require.NoError(t, err)
			require.Equal(t, c.want, n)
			require.Equal(t, c.pending, idsOf(collected(t, q.Messages(t.Context(), Filter{State: Pending}))))
		})
	}
	t.Run("refused", func(t *testing.T) {
		q, _ := logOfEight(t)
		for _, f := range []Filter{{State: Pending}, {State: Damaged}, {State: "done"}, {Limit: -1}} {
			n, err := q.RedeliverAll(t.Context(), f)
			require.Error(t, err)
			require.Zero(t, n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := q.RedeliverAll(ctx, Filter{})
		require.Equal(t, context.Canceled, err)
		_, err = q.Redeliver(ctx, "msg_x2")
		require.Equal(t, context.Canceled, err)
		require.Len(t, collected(t, q.Messages(t.Context(), Filter{State: Pending})), 2)
	})
}

// More than one step's messages come to their receiver at once, each of them once.
func TestRedeliverAllInSteps(t *testing.T) {
	q, _ := openLogged(t)
	const n = 2*redeliverStep + 100
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("msg_%d", i))
	}
	enqueued(t, q, ids...)
	ended(t, q, n, gone)
	got, err := q.RedeliverAll(t.Context(), Filter{Host: "hooks.example"})
	require.NoError(t, err)
	require.Equal(t, n, got)
	ended(t, q, n, delivered) // each once: Settle fails otherwise
	counts, err := q.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, Counts{Delivered: n}, counts)
}

// Those that have come back into the state meanwhile, but not at a time that the filter means, are none of its business.
func TestRedeliverAllLooksAgain(t *testing.T) {
	q, path := logOfEight(t)
	f := Filter{State: Dead, Until: hour(6)}
	numbers, err := q.reader.numbers(t.Context(), &f)
	require.NoError(t, err)
	require.Len(t, numbers, 3)
	raw(t, path, "UPDATE messages SET changed_at = 7 * 3600000 WHERE id = 'msg_x2'")
	raw(t, path, "UPDATE messages SET state = 'delivered' WHERE id = 'msg_x4'")
	step := &redelivery{queue: q, numbers: append(numbers, 999), filter: f}
	require.NoError(t, q.do(t.Context(), "redeliver", step))
	require.Len(t, step.rows, 1)
	require.Equal(t, "msg_p3 msg_x5 msg_p6", idsOf(collected(t, q.Messages(t.Context(), Filter{State: Pending}))))
}

// Whatever happens at the same time, nobody gets a message that somebody else has, and none is forgotten.
func TestRedeliverWhileOthersDeliver(t *testing.T) {
	q, _ := openLogged(t)
	const messages, rounds, workers = 60, 15, 4
	var ids []string
	for i := range messages {
		ids = append(ids, fmt.Sprintf("msg_%d", i))
	}
	enqueued(t, q, ids...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	out := map[string]bool{}
	settled := make(chan bool, 1<<16)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				l, err := q.Receive(ctx)
				if err != nil {
					return
				}
				id := l.Message().ID
				mu.Lock()
				if out[id] {
					t.Errorf("%s is leased twice", id)
				}
				out[id] = true
				mu.Unlock()
				runtime.Gosched()
				mu.Lock()
				delete(out, id)
				mu.Unlock()
				if err := l.Settle(context.Background(), gone); err != nil {
					t.Errorf("settle %s: %v", id, err)
				}
				settled <- true
			}
		})
	}
	want := messages
	for i := range rounds {
		var n int
		var err error
		if i%2 == 0 {
			n, err = q.RedeliverAll(t.Context(), Filter{})
		} else {
			n, err = q.Redeliver(t.Context(), ids...)
		}
		require.NoError(t, err)
		want += n
	}
	for total := range want {
		select {
		case <-settled:
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of %d came", total, want)
		}
	}
	cancel()
	wg.Wait()
	counts, err := q.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, Counts{Dead: messages}, counts)
	require.Empty(t, settled)
	attempts := 0
	for _, r := range collected(t, q.Messages(t.Context(), Filter{})) {
		attempts += len(r.Attempts)
	}
	require.Equal(t, want, attempts)
}
