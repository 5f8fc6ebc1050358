package queuetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

func brokenSettle() []broken {
	const ends, retries = "Settle as Delivered or Dead ends a message", "Settle as Retrying brings it back with one more attempt"
	const defers, past = "Settle as Deferred brings it back as it was", "Settle for a time that is past brings it back at once"
	return []broken{
		{"retries the dead", ends, "never comes back", settles(func(o *signpost.Outcome) {
			if o.State == signpost.Dead {
				o.State, o.RetryAt = signpost.Retrying, time.Now().Add(10*time.Millisecond)
			}
		})},
		{"does not settle what is delivered", ends, "never comes back", settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
			if o.State == signpost.Delivered {
				return nil // which is seen when the queue is opened again
			}
			return l.Settle(ctx, o)
		})},
		{"does not count the attempt", retries, "attempts is", settles(func(o *signpost.Outcome) {
			if o.State == signpost.Retrying {
				o.State = signpost.Deferred
			}
		})},
		{"loses what it retries", retries, "no message came", settles(func(o *signpost.Outcome) {
			if o.State == signpost.Retrying {
				o.State = signpost.Dead
			}
		})},
		{"retries early", retries, "before it was due", settles(func(o *signpost.Outcome) { o.RetryAt = time.Now() })},
		{"retries late", retries, "Harness.Late allows 0s", settles(func(o *signpost.Outcome) { o.RetryAt = o.RetryAt.Add(400 * time.Millisecond) })},
		{"retries twice", retries, "comes back once", returnsTwice(signpost.Retrying, 3)},
		{"forgets the header when it retries", retries, "header X-Many is", shows(func(m *signpost.Message) {
			if m.Attempts > 2 {
				m.Header = nil
			}
		})},
		{"counts an attempt that was not made", defers, "attempts is", settles(func(o *signpost.Outcome) {
			if o.State == signpost.Deferred {
				o.State = signpost.Retrying
			}
		})},
		{"loses what it defers", defers, "no message came", settles(func(o *signpost.Outcome) {
			if o.State == signpost.Deferred {
				o.State = signpost.Delivered
			}
		})},
		{"defers twice", defers, "comes back once", returnsTwice(signpost.Deferred, 4)},
		{"defers early", defers, "before it was due", settles(func(o *signpost.Outcome) { o.RetryAt = time.Now() })},
		{"takes no time for never", past, "no message came", settles(func(o *signpost.Outcome) {
			if o.State != signpost.Delivered && o.RetryAt.UnixNano() < 0 {
				o.RetryAt = time.Now().Add(time.Hour)
			}
		})},
	}
}

// returnsTwice gives the lease that comes after n were settled with the given state to the next receiver, too.
func returnsTwice(state signpost.State, n int) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent {
		put := newSet()
		var again signpost.Lease
		b := receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
			if l := again; l != nil {
				again = nil
				return l, nil
			}
			l, err := q.Receive(ctx)
			if err == nil && put.len() == n && put.add("again") {
				again = l
			}
			return l, err
		})(q)
		b.settle = func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
			if o.State == state {
				put.add(o.RetryAt.String())
			}
			return l.Settle(ctx, o)
		}
		return b
	}
}

func brokenSettleAgain() []broken {
	const again, atOnce = "Settle again returns ErrSettled", "Settle by several at once works once"
	const cancelled, cutOff = "Settle with a cancelled context", "Settle cut off can be called again"
	forgiving := settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
		if err := l.Settle(ctx, o); !errors.Is(err, signpost.ErrSettled) {
			return err
		}
		return nil
	})
	return []broken{
		{"settles again", again, "a second Settle returns ErrSettled", forgiving},
		{"settles again, to effect", again, "no message came", func(q *memqueue.Queue) *bent {
			ended := newSet()
			b := receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
				for {
					l, err := q.Receive(ctx)
					if err != nil || !ended.has(l.Message().ID) {
						return l, err
					}
				}
			})(q)
			b.settle = func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				err := l.Settle(ctx, o)
				if errors.Is(err, signpost.ErrSettled) && o.State == signpost.Delivered {
					ended.add(l.Message().ID)
				}
				return err
			}
			return b
		}},
		{"counts twice", again, "attempts, not 1", func(q *memqueue.Queue) *bent { return countsTwice(q, signpost.ErrSettled) }},
		{"settles at once", atOnce, "8 of 8 calls", forgiving},
		{"returns another error at once", atOnce, "all but one return ErrSettled",
			settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				if err := l.Settle(ctx, o); err != nil {
					return errBroken
				}
				return nil
			})},
		{"loses the lease with the context", cancelled, "it may be called again", settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
			if err := ctx.Err(); err != nil {
				l.Settle(context.Background(), signpost.Outcome{State: signpost.Deferred, RetryAt: time.Now()})
				return err
			}
			if err := l.Settle(ctx, o); err != nil {
				return signpost.ErrLeaseLost
			}
			return nil
		})},
		{"hangs in Settle", cancelled, "Settle did not return", settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
			if ctx.Err() != nil {
				time.Sleep(3 * time.Second)
			}
			return l.Settle(ctx, o)
		})},
		{"says that it settled what it didn't", cancelled, "it may be called again, and then holds",
			settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				if ctx.Err() != nil {
					return nil
				}
				return l.Settle(ctx, o)
			})},
		{"counts the call with the error, too", cancelled, "Settle counts once", func(q *memqueue.Queue) *bent { return countsTwice(q, context.Canceled) }},
		{"works half when it is cut off", cutOff, "Settle counts once", func(q *memqueue.Queue) *bent { return countsTwice(q, context.DeadlineExceeded) }},
	}
}

// countsTwice counts an attempt for a Settle that returns the given error, too.
func countsTwice(q *memqueue.Queue, counted error) *bent {
	twice := newSet()
	b := shows(func(m *signpost.Message) {
		if m.Attempts > 0 && twice.has(m.ID) {
			m.Attempts++
		}
	})(q)
	b.settle = func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
		if _, ok := ctx.Deadline(); ok && errors.Is(counted, context.DeadlineExceeded) && time.Until(deadline(ctx)) < 5*time.Millisecond {
			<-ctx.Done()
		}
		err := l.Settle(ctx, o)
		if errors.Is(err, counted) {
			twice.add(l.Message().ID)
		}
		return err
	}
	return b
}

func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

func brokenReopened() []broken {
	const survive, come, lost = "reopened, messages are there", "reopened, unsettled leases come back", "reopened, old leases are lost"
	const outcomes, load = "reopened, outcomes hold", "reopened after Close under load, nothing is lost"
	return []broken{
		{"is volatile", survive, "no message came", func(q *memqueue.Queue) *bent {
			return &bent{Queue: q, close: func() error {
				for l, err := soon(q); err == nil; l, err = soon(q) {
					l.Settle(context.Background(), signpost.Outcome{State: signpost.Delivered})
				}
				return q.Close()
			}}
		}},
		{"forgets leased messages", come, "no message came", settlesAtClose(signpost.Outcome{State: signpost.Delivered})},
		{"counts an attempt for a lease that is lost", come, "attempts is", settlesAtClose(signpost.Outcome{State: signpost.Retrying})},
		{"does not know that leases are lost", lost, "it returns ErrLeaseLost",
			settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				if err := l.Settle(ctx, o); err != nil {
					return errBroken
				}
				return nil
			})},
		{"settles lost leases", lost, "it returns ErrLeaseLost",
			settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				if err := l.Settle(ctx, o); !errors.Is(err, signpost.ErrLeaseLost) {
					return err
				}
				return nil
			})},
		{"does not tell that leases are lost", lost, "false: it is lost", func(q *memqueue.Queue) *bent {
			return &bent{Queue: q, lost: func(signpost.RevocableLease) bool { return false }}
		}},
		{"takes all leases for lost", lost, "true: it is out", func(q *memqueue.Queue) *bent {
			return &bent{Queue: q, lost: func(signpost.RevocableLease) bool { return true }}
		}},
		{"settles the dead later", outcomes, "what Settle returned nil for is durable", settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
			if o.State == signpost.Dead {
				time.AfterFunc(time.Second, func() { l.Settle(context.Background(), o) })
				return nil
			}
			return l.Settle(ctx, o)
		})},
		{"keeps its waits in memory", outcomes, "before it was due", keepsWaitsInMemory},
		{"enqueues later", load, "what Enqueue returned nil for is received", func(q *memqueue.Queue) *bent {
			var mu sync.Mutex
			var last []*signpost.Message // is there when the next one comes
			return enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				mu.Lock()
				defer mu.Unlock()
				ready := last
				last = msgs
				return q.Enqueue(ctx, ready...)
			})(q)
		}},
	}
}

// settlesAtClose has Close settle the leases that are out.
func settlesAtClose(o signpost.Outcome) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent {
		var out []signpost.Lease
		b := receives(func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error) {
			l, err := q.Receive(ctx)
			if err == nil {
				out = append(out, l)
			}
			return l, err
		})(q)
		b.close = func() error {
			for _, l := range out {
				l.Settle(context.Background(), o)
			}
			return q.Close()
		}
		return b
	}
}

// keepsWaitsInMemory has what is retried due when it is opened again.
func keepsWaitsInMemory(q *memqueue.Queue) *bent {
	return settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
		if o.State == signpost.Retrying {
			return nil
		}
		return l.Settle(ctx, o)
	})(q)
}
