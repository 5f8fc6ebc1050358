package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost"
)

// closeTime bounds how long Close waits for the brokers, and for what is being written.
const closeTime = 5 * time.Second

// enqueuing is how many messages may be on their way to the brokers at a time; the client has room for more.
const enqueuing = 20_000

// brokenFor is how long a queue is not healthy after an error: if that goes on, it comes again.
const brokenFor = 30 * time.Second

// A Queue is a [signpost.HoldingQueue] at a Kafka cluster. [Open] opens it. Its methods are safe for concurrent use.
//
// # Goroutines
//
// The poller takes messages from the brokers and puts them on the shelf. The runner does what nobody waits for: it forwards
// what has waited in a delay topic, sends held messages away, and writes copies of those that are out for long; see runner.go.
// The committer commits what is finished, for everybody who waits; see commit.go. The trimmer has the brokers delete it. The
// runner is started by Open, the others by the first Receive. All are awaited by Close. The clients call back on goroutines of
// their own.
//
// # Locks
//
// mu protects what is in memory, and is never held while the brokers are asked for something, or a record is handed to a
// client, which may have no room for it. A client's callbacks take it.
type Queue struct {
	config   *config
	brokers  []string
	instance string // tells the copies of this instance from those of others
	cluster  string
	outage   *outage
	producer *kgo.Client
	admin    *kadm.Client

	partitions atomic.Int32 // of the ready topic

	ctx     context.Context // of all goroutines; done when Close has waited long enough
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closing sync.Once
	room    chan struct{} // has a word for each message that is being enqueued
	kick    chan struct{} // has the committer look
	wake    chan struct{} // has the runner look

	mu          sync.Mutex // protects the following fields
	consumer    *kgo.Client
	parts       map[place]*partition // that are assigned
	suspended   map[place]*partition // that may come back; see suspend.go
	shelf       *shelf
	changed     chan struct{} // closed, and replaced, when calls of Receive that wait must look again
	todo        []*write      // for the runner
	later       []delayed     // for the runner, after a failure
	stalled     bool          // the runner has left something for when moving is less
	hash        homes
	moving      int    // writes that nobody waits for, begun or not
	movingBytes int    // of their payloads
	relieve     bool   // the runner must look whether too much is held on the shelf
	copies      uint64 // made so far
	paused      bool   // the ready topic
	broken      error  // why the group or a topic can't be read
	brokenAt    time.Time
	closed      bool
}

func (q *Queue) start() {
	q.wg.Go(q.run)
}

// tell has calls of Receive that wait look again. It requires that mu is held.
func (q *Queue) tell() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Enqueue implements [signpost.Queue]. It returns nil once all replicas in sync have the messages. A message whose ID was
// enqueued before is a message of its own. If there is more than one message and an error, some may have been taken over and
// others not. While no broker answers it waits until ctx is done. A message that is larger than [WithMaxBytes] allows gives
// [ErrTooLarge], and nothing is taken over.
func (q *Queue) Enqueue(ctx context.Context, msgs ...*signpost.Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	records := make([]*kgo.Record, len(msgs))
	for i, m := range msgs {
		records[i] = encode(q.config.ready(), m, nil, time.Time{})
		if size := sizeOf(records[i]); size > q.config.maxBytes {
			return fmt.Errorf("%w: enqueue message %q: %d bytes with its headers: at most %d are allowed (WithMaxBytes)",
				ErrTooLarge, m.ID, size, q.config.maxBytes)
		}
	}
	q.mu.Lock()
	closed := q.closed
	q.mu.Unlock()
	if closed {
		return ErrClosed
	}
	results := make(chan error, len(records))
	for _, r := range records {
		select {
		case q.room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		case <-q.ctx.Done():
			return ErrClosed
		}
		// Not with ctx: if it is done the client may drop what others have in the same batch.
		q.producer.Produce(q.ctx, r, func(_ *kgo.Record, err error) {
			<-q.room
			results <- err
		})
	}
	for range records {
		select {
		case err := <-results:
			if err != nil && q.ctx.Err() != nil {
				return ErrClosed
			}
			if err != nil {
				return explain("enqueue", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Hold implements [signpost.HoldingQueue]. When more than half of the prefetch is held back, the rest goes to the delay
// topics until the hold ends, and comes back spread over some time.
func (q *Queue) Hold(key string, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.shelf.lines.Hold(key, until, time.Now())
	q.relieve = true
	q.wakeRunner()
	q.tell()
}

// Healthy returns nil while the brokers answer, and what the queue needs can be read. It is for readiness probes.
func (q *Queue) Healthy(ctx context.Context) error {
	q.mu.Lock()
	closed, broken := q.closed, q.broken
	if time.Since(q.brokenAt) > brokenFor {
		broken = nil
	}
	q.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if broken != nil {
		return broken
	}
	return explain("reach the brokers", q.producer.Ping(ctx))
}

// Close closes the queue. Calls that wait return [ErrClosed]; so does every later call. Settle of leases that are out returns
// [signpost.ErrLeaseLost], and their messages come to another instance, or when the queue is opened again. What is being
// settled or enqueued is waited for, five seconds at most, and then the consumer group is left, so that others go on at
// once. It can be called again, waits as well, and returns nil.
func (q *Queue) Close() error {
	q.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		q.mu.Lock()
		q.closed = true
		consumer := q.consumer
		q.tell()
		q.mu.Unlock()
		if consumer != nil {
			parts := q.assigned()
			if err := consumer.LeaveGroupContext(ctx); err == nil { // which has called giveUp
				q.trim(ctx, parts)
			}
		}
		q.producer.Flush(ctx)
		q.cancel()
		q.wg.Wait()
		if consumer != nil {
			q.forgetSuspended(nil)
			q.forget(q.assigned(), ErrClosed)
			consumer.CloseAllowingRebalance()
		}
		q.producer.Close()
	})
	return nil
}
