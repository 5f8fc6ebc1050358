package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/lines"
	"github.com/signpost-go/signpost/internal/wire"
)

// A Queue is a [signpost.SharedQueue] and a [signpost.HoldingQueue] at a RabbitMQ broker. [Open] opens it. Its methods are safe
// for concurrent use.
//
// # Goroutines
//
// Two links keep a connection each: one for publishing, from Open on, and one for consuming, from the first Receive on, so that
// an instance that only enqueues is no consumer. A broker that takes no messages, for want of memory, doesn't read from a
// connection that publishes; acks go over the other one. On each there are the goroutines of publisher.go and intake.go, and
// beside them the keeper, which looks after what has been here for long. All are awaited by Close.
//
// # Locks
//
// mu protects what is in memory. publisher.mu and consumer.mu are leaves below it. No lock is held while a connection is used.
type Queue struct {
	*config
	publisher   *publisher
	publishing  *link
	consumption *link
	copies      *copies
	running     context.Context // done when the queue is closed
	stop        func()
	wg          sync.WaitGroup
	closing     sync.Once
	conn        atomic.Pointer[amqp.Connection] // that consumes now; nil: none

	mu        sync.Mutex    // protects the following fields
	changed   chan struct{} // closed, and replaced, when calls that wait must look again
	closed    bool
	receives  bool                   // the first Receive was called
	shelf     *lines.Lines[*entry]   // messages that wait here
	taking    map[*consumer]struct{} // channels on which messages come
	here      map[*entry]struct{}    // all entries that aren't ended or gone
	known     map[string]*entry      // … by the names of their copies
	recent    recent
	leases    int                  // out
	piles     map[string]*pile     // how many wait here, by endpoint
	away      map[string]time.Time // when the last comes back that was sent away, by host
	awaySweep int                  // how many of those there may be until those that are over are dropped
	consumers int                  // channels that consume from ready now
	whole     time.Time            // since when all channels do; zero: not all
	heldQueue string               // where renewed messages go; "": none yet
}

// tell has calls that wait look again. It requires that mu is held.
func (q *Queue) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Enqueue implements [signpost.Queue]. Each message is a message of its own, whether its ID was enqueued before or not. Of
// several that are given at once some may be taken over if there is an error. While the broker can't be reached, or takes no
// messages, Enqueue waits, until ctx is done. What doesn't fit is refused with [ErrRefused]: a payload beyond the broker's
// max_message_size (16 MiB by default in RabbitMQ 4, 128 MiB before), headers beyond its frame_max (128 KiB).
func (q *Queue) Enqueue(ctx context.Context, msgs ...*signpost.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	results := make(chan error, len(msgs))
	ps := make([]*publication, len(msgs))
	for i, m := range msgs {
		msg, err := publishing(cloned(m), wire.Encode(m, time.Time{}), q.copies.next())
		if err != nil {
			return fmt.Errorf("rabbitmq: enqueue message %d of %d: %w", i+1, len(msgs), err)
		}
		ps[i] = &publication{queue: q.ready(), msg: msg, ctx: ctx, then: func(err error) { results <- err }}
	}
	if !q.publisher.submit(ps...) {
		return ErrClosed
	}
	var errs error
	for range msgs {
		select {
		case err := <-results:
			if errs == nil {
				errs = err
			}
		case <-ctx.Done():
			q.publisher.leave(len(msgs))
			return ctx.Err()
		}
	}
	if errs == nil || errors.Is(errs, ErrClosed) || ctx.Err() != nil {
		return errs
	}
	return fmt.Errorf("rabbitmq: enqueue: %w", errs)
}

// cloned returns m with a payload of its own: the caller may change it when Enqueue has returned, which it may do before all is
// written.
func cloned(m *signpost.Message) *signpost.Message {
	c := *m
	c.Payload = append([]byte(nil), m.Payload...)
	return &c
}

// Receive implements [signpost.Queue]. With its first call this instance becomes a consumer. Messages that have come from the
// broker wait here in memory; what is due earliest comes first, of whatever endpoint. Receive waits while the broker can't be
// reached.
func (q *Queue) Receive(ctx context.Context) (signpost.Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return nil, ErrClosed
		}
		q.startReceiving()
		now := time.Now()
		var wake time.Time
		if q.shelf.Len() > 0 {
			if wake = q.shelf.First(); !wake.After(now) {
				e := q.take()
				e.state = leased
				q.leases++
				q.mu.Unlock()
				return &lease{queue: q, entry: e}, nil
			}
		}
		changed := q.changed
		q.mu.Unlock()
		await(ctx, changed, wake, now)
	}
}

// await returns when there may be something to receive, or ctx is done.
func await(ctx context.Context, changed <-chan struct{}, wake, now time.Time) {
	var over <-chan time.Time
	if !wake.IsZero() {
		timer := time.NewTimer(wake.Sub(now))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
}

// startReceiving requires that mu is held.
func (q *Queue) startReceiving() {
	if q.receives {
		return
	}
	q.receives = true
	q.wg.Go(func() { q.consumption.run(q.running, nil, q.use) })
	q.wg.Go(q.keepFresh)
}

// consuming counts the channels that consume.
func (q *Queue) consuming(change int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.consumers += change
	q.whole = time.Time{}
	if q.consumers == q.config.channels {
		q.whole = time.Now()
	}
	q.tell()
}

// Close closes the queue and its connections. Calls that wait return [ErrClosed]; so does every later call. Settle of leases
// that are out returns [signpost.ErrLeaseLost], and their messages go to other instances at once, or to the next one that is
// opened. Close can be called again, and returns nil.
func (q *Queue) Close() error {
	q.closing.Do(func() {
		q.mu.Lock()
		q.closed = true
		q.tell()
		q.mu.Unlock()
		q.flush()
		q.stop()
		q.publisher.close()
	})
	q.wg.Wait()
	return nil
}
