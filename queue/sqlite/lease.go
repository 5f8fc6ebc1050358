package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/signpost-go/signpost"
)

// A lease is a message given to somebody.
type lease struct {
	queue *Queue
	entry *entry
	tried bool // the change was tried before, so it may have been made; the writer's alone

	mu  sync.Mutex  // protects the following fields; taken after Queue.mu and before writer.mu
	job *job        // of the Settle that was begun last
	end *settlement // the one that has ended the lease
}

// Message implements [signpost.Lease].
func (l *lease) Message() *signpost.Message { return &l.entry.message }

// Settle implements [signpost.Lease]. The attempt is recorded in the same transaction as what became of the message.
func (l *lease) Settle(ctx context.Context, o signpost.Outcome) error {
	if o.State < signpost.Delivered || o.State > signpost.Deferred {
		return fmt.Errorf("sqlite: settle message %q as %v: give Delivered, Retrying, Dead or Deferred", l.entry.message.ID, o.State)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, j, err := l.begin(o)
		switch {
		case j == nil:
			return err
		case s == nil: // another call's: first it must be known what becomes of that
			select {
			case <-j.done:
			case <-ctx.Done():
			}
			continue
		}
		if err := l.queue.writer.await(ctx, j); err != nil {
			return l.leave(s, err)
		}
		if s.lost {
			return signpost.ErrLeaseLost
		}
		return nil
	}
}

// begin begins to settle the lease, and returns the settlement and its job. If another call has begun already it
// returns that one's job alone, and if the lease has ended neither, but what Settle returns.
func (l *lease) begin(o signpost.Outcome) (*settlement, *job, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.job != nil {
		select {
		case <-l.job.done:
			l.job = nil
		default:
			return nil, l.job, nil
		}
	}
	switch {
	case l.end == nil:
	case l.end.lost:
		return nil, nil, signpost.ErrLeaseLost
	case l.end.unheard && l.end.outcome.State == o.State: // this is the same caller, who tries again
		l.end.unheard = false
		return nil, nil, nil
	default:
		return nil, nil, signpost.ErrSettled
	}
	s := newSettlement(l, o)
	j := &job{task: s, done: make(chan struct{})}
	if err := l.queue.writer.post(j); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", signpost.ErrLeaseLost, err)
	}
	l.job = j
	return s, j, nil
}

// leave returns what Settle returns when it has waited for s in vain. s may be made all the same.
func (l *lease) leave(s *settlement, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.unheard = true
	if errors.Is(err, ErrClosed) {
		return fmt.Errorf("%w: %w", signpost.ErrLeaseLost, err)
	}
	return l.queue.explain("settle", err)
}

// A settlement is the task of a Settle.
type settlement struct {
	lease    *lease
	outcome  signpost.Outcome
	state    string
	reason   sql.NullString
	attempts int
	due      int64
	now      int64
	lost     bool // the message isn't pending any more: somebody has changed the file
	unheard  bool // the caller has left before it was made; protected by lease.mu
}

func newSettlement(l *lease, o signpost.Outcome) *settlement {
	m := &l.entry.message
	s := &settlement{lease: l, outcome: o, state: string(Pending), attempts: m.Attempts}
	if o.State == signpost.Retrying || o.State != signpost.Deferred && o.Attempt.Number > 0 {
		s.attempts++
	}
	switch o.State {
	case signpost.Delivered:
		s.state = string(Delivered)
	case signpost.Dead:
		s.state = string(Dead)
		if o.Reason != nil {
			s.reason = sql.NullString{String: o.Reason.Error(), Valid: true}
		}
	default:
		s.due = l.queue.clock.at(o.RetryAt)
	}
	if limit := l.queue.config.response; len(o.Attempt.Body) > limit {
		s.outcome.Attempt.Body = o.Attempt.Body[:limit]
	}
	s.outcome.Attempt.Body = bytes.Clone(s.outcome.Attempt.Body)
	return s
}

func (s *settlement) size() int { return len(s.outcome.Attempt.Body) }

func (s *settlement) apply(w *statements) error {
	ctx := context.Background()
	number := s.lease.entry.number
	s.now = s.lease.queue.clock.now()
	if s.state == string(Pending) {
		s.due = max(s.due, s.now)
	}
	result, err := w.settle.ExecContext(ctx, number, s.state, s.reason, s.attempts, s.due, s.now)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		s.lost = !s.lease.tried
		return nil
	}
	if err := s.record(ctx, w, number); err != nil {
		return err
	}
	s.lease.tried = true
	return nil
}

// record adds the attempt to the delivery log.
func (s *settlement) record(ctx context.Context, w *statements, number int64) error {
	a := &s.outcome.Attempt
	if a.Number == 0 || s.outcome.State == signpost.Deferred {
		return nil
	}
	status := sql.NullInt64{Int64: int64(a.StatusCode), Valid: a.StatusCode != 0}
	var text sql.NullString
	if a.Err != nil {
		text = sql.NullString{String: a.Err.Error(), Valid: true}
	}
	_, err := w.recordAttempt.ExecContext(ctx, number, a.Number, a.Start.UnixMilli(), a.Duration.Microseconds(), status, text, a.Body)
	return err
}

func (s *settlement) committed(lines *lines, now int64) {
	l := s.lease
	l.mu.Lock()
	l.end = s
	l.mu.Unlock()
	if s.state != string(Pending) || s.lost {
		lines.end(l.entry, now)
	} else {
		lines.putBack(l.entry, s.due, now)
	}
}
