package queuetest

import (
	"context"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

// bent is a queue that does something else where a function is set. The functions are told what the queue
// itself would do.
type bent struct {
	*memqueue.Queue
	enqueue func(ctx context.Context, msgs []*signpost.Message) error
	receive func(ctx context.Context) (signpost.Lease, error)
	message func(m *signpost.Message) *signpost.Message
	settle  func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error
	lost    func(l signpost.RevocableLease) bool
	close   func() error
	hold    func(q memqueue.Holding, key string, until time.Time)
}

// bentHolding is the HoldingQueue that a bent queue is.
type bentHolding struct {
	*bent
	holding memqueue.Holding
}

func (b bentHolding) Hold(key string, until time.Time) {
	if b.bent.hold != nil {
		b.bent.hold(b.holding, key, until)
	} else {
		b.holding.Hold(key, until)
	}
}

func (b *bent) Enqueue(ctx context.Context, msgs ...*signpost.Message) error {
	if b.enqueue != nil {
		return b.enqueue(ctx, msgs)
	}
	return b.Queue.Enqueue(ctx, msgs...)
}

func (b *bent) Receive(ctx context.Context) (signpost.Lease, error) {
	receive := b.Queue.Receive
	if b.receive != nil {
		receive = b.receive
	}
	l, err := receive(ctx)
	if l == nil {
		return nil, err
	}
	return &bentLease{Lease: l, queue: b}, err
}

func (b *bent) Close() error {
	if b.close != nil {
		return b.close()
	}
	return b.Queue.Close()
}

type bentLease struct {
	signpost.Lease
	queue *bent
}

func (l *bentLease) Message() *signpost.Message {
	if l.queue.message != nil {
		return l.queue.message(l.Lease.Message())
	}
	return l.Lease.Message()
}

func (l *bentLease) Settle(ctx context.Context, o signpost.Outcome) error {
	if l.queue.settle != nil {
		return l.queue.settle(ctx, l.Lease, o)
	}
	return l.Lease.Settle(ctx, o)
}

func (l *bentLease) Lost() bool {
	revocable := l.Lease.(signpost.RevocableLease)
	if l.queue.lost != nil {
		return l.queue.lost(revocable)
	}
	return revocable.Lost()
}

// shows bends what a lease says of its message.
func shows(change func(m *signpost.Message)) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent {
		return &bent{Queue: q, message: func(m *signpost.Message) *signpost.Message {
			c := *m
			change(&c)
			return &c
		}}
	}
}

// enqueues bends what Enqueue does.
func enqueues(f func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent {
		return &bent{Queue: q, enqueue: func(ctx context.Context, msgs []*signpost.Message) error { return f(ctx, q, msgs) }}
	}
}

// receives bends what Receive does.
func receives(f func(ctx context.Context, q *memqueue.Queue) (signpost.Lease, error)) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent {
		return &bent{Queue: q, receive: func(ctx context.Context) (signpost.Lease, error) { return f(ctx, q) }}
	}
}

// settles bends what an outcome does.
func settles(change func(o *signpost.Outcome)) func(q *memqueue.Queue) *bent {
	return settlesWith(func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
		change(&o)
		return l.Settle(ctx, o)
	})
}

// settlesWith bends what Settle does.
func settlesWith(f func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent { return &bent{Queue: q, settle: f} }
}

// holds bends what Hold does.
func holds(f func(q memqueue.Holding, key string, until time.Time)) func(q *memqueue.Queue) *bent {
	return func(q *memqueue.Queue) *bent { return &bent{Queue: q, hold: f} }
}

// A set of message IDs.
type set struct {
	mu  sync.Mutex // protects ids
	ids map[string]bool
}

func newSet() *set { return &set{ids: map[string]bool{}} }

// add reports whether the ID is new.
func (s *set) add(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.ids[id]
	s.ids[id] = true
	return !known
}

func (s *set) has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids[id]
}

func (s *set) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}
