package sqlite

import (
	"context"
	"fmt"
	"strings"
)

// maxFaults is how many faults Check names.
const maxFaults = 20

// Check reads all of the file and looks for damage: SQLite's own integrity check, and then the checksums of all pending
// messages. An error that wraps [ErrDamaged] says what it has found. Nothing is changed, and nothing else is held up, but
// while the integrity check runs path-wal can only grow. It takes some ten seconds for a GiB, and what the disk needs to
// read it. Messages that were put aside already are none of its findings: [Queue.Counts] has them.
func (q *Queue) Check(ctx context.Context) error {
	faults, err := q.reader.checkIntegrity(ctx)
	if err != nil {
		return err
	}
	if len(faults) == 0 {
		if faults, err = q.reader.checkPending(ctx); err != nil {
			return err
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: check %s: %s", ErrDamaged, q.file.path, strings.Join(faults, "; "))
}

// checkIntegrity returns what SQLite has found, https://www.sqlite.org/pragma.html#pragma_integrity_check.
func (r *reader) checkIntegrity(ctx context.Context) (faults []string, err error) {
	ctx, leave, err := r.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	rows, err := r.log.QueryContext(ctx, fmt.Sprintf("PRAGMA integrity_check(%d)", maxFaults))
	if err != nil {
		return nil, r.explain(ctx, "check", err)
	}
	defer rows.Close()
	for rows.Next() {
		var fault string
		if err := rows.Scan(&fault); err != nil {
			return nil, r.explain(ctx, "check", err)
		}
		if fault != "ok" {
			faults = append(faults, fault)
		}
	}
	return faults, r.explain(ctx, "check", rows.Err())
}

// checkPending returns which pending messages don't match their checksums.
func (r *reader) checkPending(ctx context.Context) (faults []string, err error) {
	for record, err := range r.messages(ctx, Filter{State: Pending}) {
		if err != nil {
			return nil, err
		}
		if record.State != Damaged {
			continue
		}
		if len(faults) == maxFaults {
			return append(faults, "and more"), nil
		}
		faults = append(faults, fmt.Sprintf("message %q: %s", record.Message.ID, record.Reason))
	}
	return faults, nil
}
