package queuetest

import (
	"context"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

// soon is Receive, but only of what is due at once.
func soon(q *memqueue.Queue) (signpost.Lease, error) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	return q.Receive(&impatient{Context: over})
}

// impatient is a context that is done when somebody waits for it or asks for its error again. memqueue asks once before it looks for a message.
type impatient struct {
	context.Context
	asked bool
}

func (c *impatient) Err() error {
	if !c.asked {
		c.asked = true
		return nil
	}
	return c.Context.Err()
}

func brokenReceive() []broken {
	const waits, ctxs, due = "Receive waits for a new message", "Receive honours its context", "Receive gives waiting messages when they are due"
	return []broken{
		{"does not wait", waits, "context canceled",
			receives(func(_ context.Context, q *memqueue.Queue) (signpost.Lease, error) { return soon(q) })},
		{"returns nothing at all", waits, "no message and no error",
			receives(func(_ context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				l, _ := soon(q)
				return l, nil
			})},
		{"does not wake up", waits, "a Receive that waits returns when",
			receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				if l, err := soon(q); err == nil {
					return l, nil
				}
				<-ctx.Done()
				return nil, ctx.Err()
			})},
		{"polls, slowly", waits, "after it was due: Harness.Late allows 0s",
			receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				for {
					if l, err := soon(q); err == nil || ctx.Err() != nil {
						return l, ctx.Err()
					}
					select {
					case <-time.After(400 * time.Millisecond):
					case <-ctx.Done():
					}
				}
			})},
		{"ignores the context", ctxs, "Receive did not return",
			receives(func(_ context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				return q.Receive(context.Background())
			})},
		{"returns another error than the context's", ctxs, "Receive returns its context's error",
			receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				l, err := q.Receive(ctx)
				if err != nil {
					return nil, errBroken
				}
				return l, nil
			})},
		{"gives a message after the end", ctxs, "Receive returns its context's error",
			receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				if l, err := soon(q); err == nil {
					return l, nil
				}
				return q.Receive(ctx)
			})},
		{"loses the lease that comes with the end", "Receive that is cancelled loses no message", "a Receive that returned an error gave no lease",
			func(q *memqueue.Queue) *bent {
				received := newSet()
				return receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
					l, err := q.Receive(ctx)
					if err == nil && received.add(l.Message().ID) && received.len() == 100 {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return l, err
				})(q)
			}},
		{"leases a message twice", "Receive gives a leased message to nobody else", "came to two receivers", leasesTwice("msg_5_50")},
		{"gives so many leases and no more", "Receive gives a leased message to nobody else", "a message is due, however many leases are out",
			func(q *memqueue.Queue) *bent {
				out := newSet()
				return receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
					if out.len() > 100 {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					l, err := q.Receive(ctx)
					if err == nil {
						out.add(l.Message().ID)
					}
					return l, err
				})(q)
			}},
		{"is first in, first out", "Receive gives short waits before long ones", "no message came", func(q *memqueue.Queue) *bent {
			var last time.Time
			return settles(func(o *signpost.Outcome) {
				last = latest(o.RetryAt, last)
				o.RetryAt = last
			})(q)
		}},
		{"rounds to seconds, down", due, "before it was due", settles(func(o *signpost.Outcome) { o.RetryAt = o.RetryAt.Truncate(time.Second) })},
		{"is last in, first out", due, "what is due earlier comes earlier", func(q *memqueue.Queue) *bent {
			var stack []signpost.Lease
			return receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				if len(stack) == 0 {
					l, err := q.Receive(ctx)
					if err != nil {
						return nil, err
					}
					for ; err == nil; l, err = soon(q) {
						stack = append(stack, l)
					}
				}
				l := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				return l, nil
			})(q)
		}},
		{"doubles a message", checkLoad, "came twice", leasesTwice("msg_4_52")},
		{"loses a message", checkLoad, "a message is received until it is settled, and 1 are missing",
			func(q *memqueue.Queue) *bent {
				received := newSet()
				return receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
					l, err := q.Receive(ctx)
					if err == nil && received.add(l.Message().ID) && received.len() == 500 {
						return q.Receive(ctx)
					}
					return l, err
				})(q)
			}},
	}
}

// leasesTwice gives the lease on the message with the given ID to the next receiver, too.
func leasesTwice(id string) func(q *memqueue.Queue) *bent {
	again := make(chan signpost.Lease, 1)
	return receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
		select {
		case l := <-again:
			return l, nil
		default:
		}
		l, err := q.Receive(ctx)
		if err == nil && l.Message().ID == id {
			again <- l
		}
		return l, err
	})
}

func brokenClose() []broken {
	const errs = "Close leaves a queue that returns errors"
	return []broken{
		{"does not end calls that wait", "Close ends calls that wait", "calls that wait when the queue is closed return an error",
			func(q *memqueue.Queue) *bent { return &bent{Queue: q, close: func() error { return nil }} }},
		{"hangs", "Close ends calls that wait", "Close did not return", func(q *memqueue.Queue) *bent {
			return &bent{Queue: q, close: func() error {
				time.Sleep(3 * time.Second)
				return nil
			}}
		}},
		{"takes messages when it is closed", errs, "Enqueue returned nil: the queue is closed",
			enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				q.Enqueue(ctx, msgs...)
				return nil
			})},
		{"settles when it is closed", errs, "Settle returned nil: the queue is closed",
			settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				l.Settle(ctx, o)
				return nil
			})},
		{"waits when it is closed", errs, "Receive waited until its context was done",
			receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				l, err := q.Receive(ctx)
				if err == memqueue.ErrClosed {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return l, err
			})},
		{"fails to close", errs, "it must release the queue's resources", func(q *memqueue.Queue) *bent {
			return &bent{Queue: q, close: func() error {
				q.Close()
				return errBroken
			}}
		}},
		{"leaves a goroutine", checkGoroutines, "goroutines are left", func(q *memqueue.Queue) *bent {
			go time.Sleep(3 * time.Second)
			return &bent{Queue: q}
		}},
	}
}
