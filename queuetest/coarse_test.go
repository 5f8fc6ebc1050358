package queuetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

// coarse is a queue that makes use of all the leeway that the contract and a Harness give, as one on a broker
// may: it takes its time, it is late, it doesn't know IDs again, a call that returns an error has worked, in
// part, and what Settle puts back with an error comes twice.
type coarse struct {
	memqueue.Holding
	count *atomic.Int64 // over all that share the storage
	late  time.Duration
	twice *set // of the queue's own IDs
	again chan signpost.Lease
}

// delay lets a call take some time. It reports false if ctx is done by then.
func (c *coarse) delay(ctx context.Context) bool {
	timer := time.NewTimer(rand.N(2 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func (c *coarse) Enqueue(ctx context.Context, msgs ...*signpost.Message) error {
	inTime := c.delay(ctx)
	if !inTime {
		msgs = msgs[:rand.N(len(msgs)+1)]
	}
	for _, m := range msgs {
		copied := *m
		copied.ID = fmt.Sprintf("%d/%s", c.count.Add(1), m.ID)
		if err := c.Queue.Enqueue(context.WithoutCancel(ctx), &copied); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (c *coarse) Receive(ctx context.Context) (signpost.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case l := <-c.again:
		return l, nil
	default:
	}
	l, err := c.Queue.Receive(ctx)
	if err != nil {
		return nil, err
	}
	m := *l.Message()
	_, m.ID, _ = strings.Cut(m.ID, "/")
	if c.twice.has(l.Message().ID) {
		c.again <- &coarseLease{Lease: l, queue: c, message: &m, copied: true}
	}
	return &coarseLease{Lease: l, queue: c, message: &m}, nil
}

type coarseLease struct {
	signpost.Lease
	queue   *coarse
	message *signpost.Message
	copied  bool // what becomes of it matters to nobody
}

func (l *coarseLease) Message() *signpost.Message { return l.message }

func (l *coarseLease) Settle(ctx context.Context, o signpost.Outcome) error {
	if o.State == signpost.Retrying || o.State == signpost.Deferred {
		late := l.queue.late
		o.RetryAt = o.RetryAt.Add(late).Truncate(late) // the next multiple
	}
	inTime := l.queue.delay(ctx)
	if l.copied {
		return nil
	}
	err := l.Lease.Settle(context.WithoutCancel(ctx), o)
	if err == nil && !inTime {
		l.queue.twice.add(l.Lease.Message().ID)
		return ctx.Err()
	}
	return err
}

func (c *coarse) Hold(key string, until time.Time) {
	if until.After(time.Now()) {
		until = until.Add(c.late).Truncate(c.late)
	}
	c.Holding.Hold(key, until)
}

func TestLeewayIsGiven(t *testing.T) {
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if c.name != checkGoroutines {
				t.Parallel()
			}
			const late = 100 * time.Millisecond
			q, count := memqueue.Holding{}, new(atomic.Int64)
			h := Harness{Late: late, Partial: true, Open: func(testing.TB) signpost.Queue {
				if q.Queue == nil {
					q = memqueue.NewHolding()
				} else {
					q = q.Reopen()
				}
				return &coarse{Holding: q, count: count, late: late, twice: newSet(), again: make(chan signpost.Lease, 100)}
			}}
			l := patient()
			l.quiet = 0 // more than Late passes anyway
			c.do(t, h, l)
		})
	}
}

func TestVolatile(t *testing.T) {
	for _, c := range checks() {
		if !c.reopens && !strings.Contains(c.name, "Close leaves") && !strings.Contains(c.name, "Delivered or Dead") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			h := Harness{Volatile: true, Open: func(testing.TB) signpost.Queue { return memqueue.New() }}
			r := record(t, c, h, patient())
			assert.Empty(t, r.text())
			assert.Equal(t, c.reopens, r.skipped, "what survives Close goes untested")
		})
	}
}
