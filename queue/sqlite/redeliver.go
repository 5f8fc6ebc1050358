package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Redeliver has the messages with the given IDs sent again that are dead or delivered, and returns how many those are.
// They become pending with no attempts made, due at once and with their age counted from now, under the same webhook-id:
// a receiver that has handled one already may leave it out. What the log has of earlier attempts stays. Messages that are
// pending are left alone and not counted.
//
// All or none: if an ID isn't in the file, or its message is damaged, the error names it and nothing is changed. If ctx
// is done first they may be sent again all the same. Whether a message's content matches its checksum is looked at when
// its turn comes.
func (q *Queue) Redeliver(ctx context.Context, ids ...string) (int, error) {
	if len(ids) == 0 {
		return 0, ctx.Err()
	}
	r := &redelivery{queue: q, ids: slices.Clone(ids)}
	if err := q.do(ctx, "redeliver", r); err != nil {
		return 0, err
	}
	return len(r.rows), r.refused
}

// redeliverStep is how many messages RedeliverAll changes in one transaction.
const redeliverStep = 250

// RedeliverAll has the messages that f means sent again, as Redeliver does; those that are dead if f.State is empty.
// For the others say [Delivered]. It refuses a filter for pending or damaged ones.
//
// It makes steps of some hundred messages, between which others' changes are made, and returns how many are sent again.
// After an error that is what was done in the steps before it. To do the rest, call it again.
func (q *Queue) RedeliverAll(ctx context.Context, f Filter) (int, error) {
	switch f.State {
	case "":
		f.State = Dead
	case Pending, Damaged:
		return 0, fmt.Errorf("sqlite: redeliver messages that are %s: only those that are %s or %s can be sent again",
			f.State, Dead, Delivered)
	}
	numbers, err := q.reader.numbers(ctx, &f)
	if err != nil {
		return 0, err
	}
	n := 0
	for step := range slices.Chunk(numbers, redeliverStep) {
		r := &redelivery{queue: q, numbers: step, filter: f}
		if err := q.do(ctx, "redeliver", r); err != nil {
			return n, err
		}
		n += len(r.rows)
	}
	return n, nil
}

// A redelivery is the task of a Redeliver, or of a step of RedeliverAll.
type redelivery struct {
	queue *Queue

	ids []string // all of these, or

	numbers []int64 // those of these that match filter
	filter  Filter

	now     int64
	rows    []redelivered
	refused error // nothing was changed
}

type redelivered struct {
	number         int64
	host, endpoint string
}

func (r *redelivery) size() int { return 100 * (len(r.ids) + len(r.numbers)) } // pages of the index, mostly

func (r *redelivery) apply(w *statements) error {
	r.now, r.rows, r.refused = r.queue.clock.now(), nil, nil
	chosen, err := r.choose(w)
	if err != nil || r.refused != nil {
		return err
	}
	for _, c := range chosen {
		result, err := w.redeliver.ExecContext(context.Background(), c.number, r.now)
		if err != nil {
			return err
		}
		changed, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if changed > 0 { // else its ID was given twice
			r.rows = append(r.rows, c)
		}
	}
	return nil
}

// choose returns which messages are to be changed, or sets refused.
func (r *redelivery) choose(w *statements) (chosen []redelivered, err error) {
	var unknown, damaged []string
	for _, id := range r.ids {
		var c redelivered
		var state State
		var changed int64
		err := w.findID.QueryRowContext(context.Background(), id).Scan(&c.number, &state, &changed, &c.host, &c.endpoint)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			unknown = append(unknown, id)
		case err != nil:
			return nil, err
		case state == Damaged:
			damaged = append(damaged, id)
		case state != Pending:
			chosen = append(chosen, c)
		}
	}
	r.refused = refuse(unknown, damaged)
	for _, number := range r.numbers {
		var c redelivered
		var state State
		var changed int64
		err := w.findNumber.QueryRowContext(context.Background(), number).Scan(&c.number, &state, &changed, &c.host, &c.endpoint)
		switch {
		case errors.Is(err, sql.ErrNoRows): // pruned meanwhile
		case err != nil:
			return nil, err
		case r.filter.matches(r.queue.clock, state, changed):
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// refuse says which IDs stand in the way, if any.
func refuse(unknown, damaged []string) error {
	var why []string
	if len(unknown) > 0 {
		why = append(why, "not in the file, so never accepted or pruned: "+some(unknown))
	}
	if len(damaged) > 0 {
		why = append(why, "damaged, so not to be sent: "+some(damaged))
	}
	if why == nil {
		return nil
	}
	return fmt.Errorf("sqlite: redeliver nothing: %s", strings.Join(why, "; "))
}

// some names the first of some IDs.
func some(ids []string) string {
	const named = 10
	var names []string
	for _, id := range ids[:min(len(ids), named)] {
		names = append(names, fmt.Sprintf("%.255q", id))
	}
	if more := len(ids) - named; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

func (r *redelivery) committed(s *lines, now int64) {
	for _, c := range r.rows {
		s.put(s.line(c.host, c.endpoint), position{r.now, c.number}, now)
	}
}
