package kafka

import (
	"context"
	"time"

	"github.com/signpost-go/signpost"
)

// Receive implements [signpost.Queue]. The first call joins the consumer group. Of the messages that were taken from the
// broker ([WithPrefetch]) the one comes first that was due first.
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
		if err := q.join(); err != nil {
			q.mu.Unlock()
			return nil, err
		}
		now := time.Now()
		e, next := q.shelf.pop(now)
		resume := q.mayResume()
		changed := q.changed
		q.mu.Unlock()
		if resume {
			q.resume()
		}
		if e != nil {
			return &lease{queue: q, entry: e, message: e.message}, nil
		}
		await(ctx, changed, next, now)
	}
}

// await returns when there may be something to receive, or ctx is done.
func await(ctx context.Context, changed <-chan struct{}, next, now time.Time) {
	var over <-chan time.Time
	if !next.IsZero() {
		timer := time.NewTimer(next.Sub(now))
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-changed:
	case <-over:
	case <-ctx.Done():
	}
}

// mayResume reports whether the ready topic is to be fetched again. It requires that mu is held.
func (q *Queue) mayResume() bool {
	return q.paused && q.shelf.isLow() && q.moving < maxMoving/2 && q.movingBytes < maxMovingBytes/2
}

// What is written onward at a time, that nobody waits for, before no more is taken from the ready topic. To pause it costs
// everybody a moment, since it goes on with the next fetch.
const (
	maxMoving      = 20_000
	maxMovingBytes = 64 << 20
)

// mustPause requires that mu is held.
func (q *Queue) mustPause() bool {
	return !q.paused && (q.shelf.isFull() || q.moving >= maxMoving || q.movingBytes >= maxMovingBytes)
}

// pause and resume may be called at the same time: what counts is what is so then.
func (q *Queue) pause() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mustPause() {
		q.paused = true
		q.consumer.PauseFetchTopics(q.config.ready())
	}
}

func (q *Queue) resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mayResume() {
		q.paused = false
		q.consumer.ResumeFetchTopics(q.config.ready())
	}
}
