package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

// books are the ledger of a service that was killed many times. What its observers would have told died with it, so the
// ledger learns the outcomes from the file; what they did tell must agree with that.
type books struct {
	t        *testing.T
	ledger   *ledger.Ledger
	db       *sql.DB
	accepted map[string]bool
	ended    map[string]string // states that were reported
	retryAt  map[string]int64  // the next attempt of what was reported to be retried
}

// newBooks reads what the children have written down, in the order in which it happened: an ID in the log was accepted.
func newBooks(t *testing.T, s killScene, secret signpost.Secret, db *sql.DB) *books {
	b := &books{
		t: t, ledger: ledger.New(secret), db: db,
		accepted: map[string]bool{}, ended: map[string]string{}, retryAt: map[string]int64{},
	}
	log, err := os.ReadFile(s.Log)
	require.NoError(t, err)
	transport := b.ledger.Transport(roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("it is over") }))
	for line := range strings.Lines(string(log)) {
		var what, id, state string
		var at int64
		require.True(t, strings.HasSuffix(line, "\n"), "a whole line: %q", line)
		fmt.Sscan(line, &what, &id)
		switch what {
		case "accepted":
			b.accepted[id] = true
			b.ledger.Accept(id)
		case "begin":
			fmt.Sscan(line, &what, &id, &at)
			assert.NotContains(t, b.ended, id, "an attempt begins after the end was reported")
			assert.GreaterOrEqual(t, at, b.retryAt[id], "message %s: an attempt begins too early", id)
			transport.RoundTrip(&http.Request{Header: http.Header{"Webhook-Id": {id}}})
		case "outcome":
			fmt.Sscan(line, &what, &id, &state, &at)
			assert.NotContains(t, b.ended, id, "%s is reported after the end", state)
			if b.retryAt[id] = at; state == "delivered" || state == "dead" {
				b.ended[id] = state
			}
		default:
			require.Fail(t, "a line of another kind", "%q", line)
		}
	}
	return b
}

// enter enters what the receivers have got and what the file says.
func (b *books) enter(receivers []*receiver) {
	for _, r := range receivers {
		r.mu.Lock()
		for _, a := range r.arrivals {
			b.ledger.Arrived(a.id, a.err)
			if a.status == http.StatusOK {
				b.ledger.Handle(a.id)
			}
		}
		r.mu.Unlock()
	}
	statuses := b.attempts()
	rows, err := b.db.Query(`SELECT number, id, state, coalesce(reason, ''), attempts FROM messages`)
	require.NoError(b.t, err)
	defer rows.Close()
	for rows.Next() {
		var number int64
		var attempts int
		var id, state, reason string
		require.NoError(b.t, rows.Scan(&number, &id, &state, &reason, &attempts))
		if !b.accepted[id] {
			b.ledger.Accept(id) // its Send was killed after the commit
		}
		if reported := b.ended[id]; reported != "" {
			assert.Equal(b.t, reported, state, "message %s: what was reported stands", id)
		}
		assert.Len(b.t, statuses[number], attempts, "message %s: the attempts that count are in the log", id)
		b.observe(id, state, reason, statuses[number])
	}
	require.NoError(b.t, rows.Err())
}

// attempts are the statuses that each message's attempts have got, by its number.
func (b *books) attempts() map[int64][]int {
	rows, err := b.db.Query(`SELECT message, number, coalesce(status, 0) FROM attempts ORDER BY message, nth`)
	require.NoError(b.t, err)
	defer rows.Close()
	statuses := map[int64][]int{}
	for rows.Next() {
		var message int64
		var number, status int
		require.NoError(b.t, rows.Scan(&message, &number, &status))
		statuses[message] = append(statuses[message], status)
		assert.Len(b.t, statuses[message], number, "attempts are numbered without gaps")
	}
	require.NoError(b.t, rows.Err())
	return statuses
}

// observe enters a message's outcomes. One that is dead may have died without another attempt, of its endpoint's end.
func (b *books) observe(id, state, reason string, statuses []int) {
	for i, status := range statuses {
		o := signpost.Outcome{State: signpost.Retrying, Attempt: signpost.Attempt{Number: i + 1, StatusCode: status}}
		if i == len(statuses)-1 && state == "delivered" {
			assert.Equal(b.t, http.StatusOK, status)
			o.State = signpost.Delivered
		}
		b.ledger.Observe(ctx, &signpost.Message{ID: id, Attempts: i + 1}, o)
	}
	if state == "dead" {
		assert.NotEmpty(b.t, reason, "message %s is dead for a reason", id)
		b.ledger.Observe(ctx, &signpost.Message{ID: id, Attempts: len(statuses)},
			signpost.Outcome{State: signpost.Dead, Reason: errors.New(reason)})
	}
}
