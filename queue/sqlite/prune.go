package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What one step of pruning deletes: few enough that nobody waits long for the writer.
const (
	pruneStep      = 200     // messages
	pruneStepBytes = 4 << 20 // payload bytes, beyond the first message's
)

const (
	findOld = `SELECT number, length(payload) FROM messages INDEXED BY messages_ended
		WHERE state <> 'pending' AND state = ? AND changed_at <= ? ORDER BY changed_at LIMIT ?`
	deleteAttempts = `DELETE FROM attempts WHERE message IN (SELECT value FROM json_each(?))`
	deleteMessages = `DELETE FROM messages WHERE number IN (SELECT value FROM json_each(?))`
)

// Prune deletes the messages that were delivered or found dead longer ago than olderThan, with their attempts, and
// returns how many. Pending ones stay, however old. So do damaged ones, for their rows are all that is left of a webhook
// that was neither delivered nor reported dead; the package's documentation says how to delete them.
//
// What was pruned is forgotten: the same ID enqueued again is a new message. Give receivers' retries of your API, or
// whatever makes you enqueue an ID twice, more than enough time.
//
// It makes steps of some hundred messages, between which others' changes are made. After an error the number is that of
// the steps before it. If a quarter of the file and more than 1 MiB is free afterwards, it gives most of that back to the
// file system, in small steps too; less is kept, because new messages will need it.
func (q *Queue) Prune(ctx context.Context, olderThan time.Duration) (int, error) {
	if olderThan < 0 {
		return 0, fmt.Errorf("sqlite: prune messages older than %v: give 0 for all that have ended, or more", olderThan)
	}
	until := q.clock.now() - olderThan.Milliseconds()
	pruned := 0
	for _, state := range []State{Delivered, Dead} {
		for more := true; more; {
			p := &pruning{state: state, until: until}
			if err := q.do(ctx, "prune", p); err != nil {
				return pruned, err
			}
			pruned += len(p.numbers)
			more = p.more
		}
	}
	return pruned, q.giveBack(ctx)
}

// A pruning is the task of a step of Prune.
type pruning struct {
	state   State
	until   int64
	numbers []int64 // what was deleted
	more    bool
}

func (p *pruning) size() int { return 100 * pruneStep } // pages of the indexes, mostly

func (p *pruning) apply(w *statements) error {
	if err := p.find(w); err != nil || len(p.numbers) == 0 {
		return err
	}
	numbers := jsonList(p.numbers)
	if _, err := w.deleteAttempts.ExecContext(context.Background(), numbers); err != nil {
		return err
	}
	_, err := w.deleteMessages.ExecContext(context.Background(), numbers)
	return err
}

func (p *pruning) find(w *statements) error {
	p.numbers, p.more = nil, false
	rows, err := w.findOld.QueryContext(context.Background(), p.state, p.until, pruneStep+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	for bytes := 0; rows.Next(); {
		var number int64
		var size int
		if err := rows.Scan(&number, &size); err != nil {
			return err
		}
		if len(p.numbers) == pruneStep || bytes > pruneStepBytes {
			p.more = true
			break
		}
		p.numbers = append(p.numbers, number)
		bytes += size
	}
	return rows.Err()
}

// When free pages are given back, and how many in one step.
const (
	minFree        = 256 // pages
	vacuumStep     = 256 // pages
	vacuumPatience = 20 * time.Millisecond
)

// giveBack makes the file smaller if much of it is free.
func (q *Queue) giveBack(ctx context.Context) error {
	shrunk := false
	for {
		v := &vacuum{begun: shrunk}
		if err := q.do(ctx, "give back free pages", v); err != nil {
			return err
		}
		shrunk = shrunk || v.freed > 0
		if !v.more {
			break
		}
	}
	if !shrunk {
		return nil
	}
	return q.checkpoint(ctx)
}

// A vacuum is the task of a step of giveBack: it moves pages from the file's end to free places and cuts the end off.
type vacuum struct {
	begun bool // other steps were before it
	freed int  // pages
	more  bool
}

func (v *vacuum) size() int { return vacuumStep * 4096 }

func (v *vacuum) apply(w *statements) error {
	pages, free, err := v.count(w)
	v.freed, v.more = 0, false
	if err != nil || free < minFree || free < pages/4 && !v.begun {
		return err
	}
	if err := v.free(w); err != nil {
		return err
	}
	pagesNow, freeNow, err := v.count(w)
	v.freed = pages - pagesNow
	v.more = v.freed > 0 && freeNow >= minFree && freeNow > pagesNow/8
	return err
}

func (v *vacuum) count(w *statements) (pages, free int, err error) {
	err = w.countPages.QueryRowContext(context.Background()).Scan(&pages, &free)
	return pages, free, err
}

// free takes rows from SQLite, which frees a page for each. Finding a page among the free ones takes SQLite longer the
// more there are, so what counts is the time: the writer's callers wait for it.
func (v *vacuum) free(w *statements) error {
	began := time.Now()
	rows, err := w.freePages.QueryContext(context.Background())
	if err != nil {
		return err
	}
	defer rows.Close()
	for n := 0; n < vacuumStep && time.Since(began) < vacuumPatience && rows.Next(); n++ {
	}
	return rows.Err()
}

// checkpoint brings what is in path-wal into path, which only then gets smaller. What others still read stays for later.
func (q *Queue) checkpoint(ctx context.Context) error {
	ctx, leave, err := q.reader.gate.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	var busy, inLog, copied int
	err = q.reader.log.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &inLog, &copied)
	return q.reader.explain(ctx, "checkpoint", err)
}

// startPruner starts the pruner, if there is a retention. Close ends it by closing the gate, and waits for it there.
func (q *Queue) startPruner() {
	if q.config.retention == 0 {
		return
	}
	ctx, leave, err := q.reader.gate.enter(context.Background())
	if err != nil {
		return // it is closed
	}
	go func() {
		defer leave()
		q.pruneRegularly(ctx)
	}()
}

func (q *Queue) pruneRegularly(ctx context.Context) {
	ticker := time.NewTicker(pruneInterval(q.config.retention))
	defer ticker.Stop()
	for {
		if _, err := q.Prune(ctx, q.config.retention); err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			q.config.logger.Error("sqlite: pruning failed, it is tried again later", "file", q.file.path, "err", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// pruneInterval is how often the pruner looks.
func pruneInterval(retention time.Duration) time.Duration {
	return min(max(retention/10, time.Second), time.Hour)
}
