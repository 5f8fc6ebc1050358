package sqlite

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// logOfEight has messages in all states, the last digit of each ID the hour in which it came into its state.
func logOfEight(t *testing.T) (q *Queue, path string) {
	q, path = openLogged(t)
	var msgs []*signpost.Message
	for id, url := range map[string]string{
		"msg_d1": "https://a.example/1",
		"msg_x2": "https://a.example/2",
		"msg_p3": "https://a.example/3",
		"msg_x4": "https://b.example:8443/4?q=1",
		"msg_x5": "https://a.example/5",
		"msg_p6": "https://a.example.org/6",
		"msg_d7": "http://a.example/7",
		"msg_y8": "https://b.example/8",
	} {
		msgs = append(msgs, &signpost.Message{ID: id, URL: url, Payload: []byte("1"), CreatedAt: time.Now()})
	}
	slices.SortFunc(msgs, func(a, b *signpost.Message) int { return cmp.Compare(a.ID[5:], b.ID[5:]) })
	require.NoError(t, q.Enqueue(t.Context(), msgs...))
	raw(t, path, `UPDATE messages SET changed_at = number * 3600000,
		state = CASE substr(id, 5, 1) WHEN 'd' THEN 'delivered' WHEN 'x' THEN 'dead' WHEN 'y' THEN 'damaged' ELSE 'pending' END`)
	return q, path
}

// hour is the time of the log's hour h.
func hour(h float64) time.Time { return time.UnixMilli(int64(h * 3600e3)) }

func TestFilter(t *testing.T) {
	q, path := logOfEight(t)
	l, err := OpenLog(t.Context(), path)
	require.NoError(t, err)
	defer l.Close()
	for name, c := range map[string]struct {
		filter Filter
		want   string
	}{
		"all":                  {Filter{}, "msg_d1 msg_x2 msg_p3 msg_x4 msg_x5 msg_p6 msg_d7 msg_y8"},
		"pending":              {Filter{State: Pending}, "msg_p3 msg_p6"},
		"delivered":            {Filter{State: Delivered}, "msg_d1 msg_d7"},
		"dead":                 {Filter{State: Dead}, "msg_x2 msg_x4 msg_x5"},
		"damaged":              {Filter{State: Damaged}, "msg_y8"},
		"IDs":                  {Filter{IDs: []string{"msg_x5", "msg_none", "msg_d1", "msg_x5", `"'`}}, "msg_d1 msg_x5"},
		"IDs that are dead":    {Filter{IDs: []string{"msg_x5", "msg_d1"}, State: Dead}, "msg_x5"},
		"no such ID":           {Filter{IDs: []string{""}}, ""},
		"host and port":        {Filter{Host: "a.example:443"}, "msg_d1 msg_x2 msg_p3 msg_x5"},
		"host, all ports":      {Filter{Host: "a.example"}, "msg_d1 msg_x2 msg_p3 msg_x5 msg_d7"},
		"no such host":         {Filter{Host: "a.exampl"}, ""},
		"since":                {Filter{Since: hour(6)}, "msg_p6 msg_d7 msg_y8"},
		"until":                {Filter{Until: hour(3)}, "msg_d1 msg_x2"},
		"since until":          {Filter{Since: hour(3), Until: hour(6)}, "msg_p3 msg_x4 msg_x5"},
		"until long after":     {Filter{Since: hour(8), Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}, "msg_y8"},
		"since long before":    {Filter{Since: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), Until: hour(2)}, "msg_d1"},
		"limit":                {Filter{Limit: 3}, "msg_d1 msg_x2 msg_p3"},
		"dead of a host since": {Filter{State: Dead, Host: "a.example", Since: hour(3)}, "msg_x5"},
		"everything at once": {
			Filter{IDs: []string{"msg_x2", "msg_x5"}, State: Dead, Host: "a.example:443", Since: hour(1), Until: hour(9), Limit: 1}, "msg_x2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, idsOf(collected(t, q.Messages(t.Context(), c.filter))))
			require.Equal(t, c.want, idsOf(collected(t, l.Messages(t.Context(), c.filter))))
		})
	}
	want := Counts{Pending: 2, Delivered: 2, Dead: 3, Damaged: 1}
	got, err := q.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = l.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestFilterIsRefused(t *testing.T) {
	q, _ := openLogged(t)
	for name, f := range map[string]Filter{
		`State "done"`: {State: "done"},
		"Limit -1":     {Limit: -1},
	} {
		n := 0
		for r, err := range q.Messages(t.Context(), f) {
			n++
			require.Nil(t, r)
			require.ErrorContains(t, err, name)
		}
		require.Equal(t, 1, n)
	}
}

// What is listed, pruned and counted is found by an index, however large the table is.
func TestLogDoesNotScan(t *testing.T) {
	q, _ := openLogged(t)
	queries := map[string]string{
		"counts": countStates, "read messages": readMessages, "read attempts": readAttempts,
		"find old": findOld, "delete attempts": deleteAttempts, "delete messages": deleteMessages,
	}
	for name, f := range map[string]Filter{
		"all": {}, "ids": {IDs: []string{"a"}}, "ids of a state": {IDs: []string{"a"}, State: Dead},
		"pending": {State: Pending}, "dead": {State: Dead}, "dead, limit": {State: Dead, Limit: 1},
		"dead of a host since": {State: Dead, Host: "a.example", Since: time.Now(), Until: time.Now()}, "since": {Since: time.Now()},
	} {
		query, _, err := f.query(q.clock)
		require.NoError(t, err)
		queries[name] = query
	}
	for name, query := range queries {
		t.Run(name, func(t *testing.T) {
			args := make([]any, strings.Count(query, "?"))
			rows, err := q.reader.log.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
			require.NoError(t, err)
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var detail string
				require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
				t.Log(detail)
				if strings.HasPrefix(detail, "SCAN") {
					require.Regexp(t, `USING (COVERING )?INDEX messages_(due|ended)|VIRTUAL TABLE|^SCAN \d`, detail)
				}
				if strings.HasPrefix(name, "read") {
					require.NotContains(t, detail, "TEMP B-TREE") // which would hold a page's payloads
				}
				if strings.Contains(detail, "messages_ended") && name != "counts" {
					require.Contains(t, detail, "SEARCH")
				}
			}
			require.NoError(t, rows.Err())
		})
	}
}
