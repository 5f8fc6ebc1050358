package rabbitmq

import (
	"context"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Healthy returns nil while the queue is connected to the broker, and an error that says what is wrong otherwise. It is made
// for readiness probes and doesn't ask the broker anything.
func (q *Queue) Healthy(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case !q.publishing.up.Load():
		return fmt.Errorf("%w: nothing can be enqueued", errUnconnected)
	case q.receives && q.whole.IsZero():
		return fmt.Errorf("%w: nothing can be received", errUnconnected)
	}
	return nil
}

// Consumers implements [signpost.SharedQueue]: it asks the broker how many instances receive from it. It waits until this one is
// among them, so that one that has just begun to receive doesn't take all of the limit for its own.
func (q *Queue) Consumers(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	type answer struct {
		queue amqp.Queue
		err   error
	}
	answers := make(chan answer, 1)
	var ask *amqp.Connection
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return 0, ErrClosed
		}
		if ask = q.conn.Load(); ask != nil && !q.whole.IsZero() {
			break
		}
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	q.wg.Go(func() {
		queue, err := inspect(ask, q.ready())
		answers <- answer{queue, err}
	})
	q.mu.Unlock()
	select {
	case a := <-answers:
		if a.err != nil {
			return 0, fmt.Errorf("rabbitmq: count consumers: %w", a.err)
		}
		return (a.queue.Consumers + q.config.channels - 1) / q.config.channels, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// inspect asks for a queue on a channel of its own, which the broker closes if there is none.
func inspect(conn *amqp.Connection, name string) (amqp.Queue, error) {
	ch, err := conn.Channel()
	if err != nil {
		return amqp.Queue{}, err
	}
	queue, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
	if err != nil {
		return amqp.Queue{}, err
	}
	return queue, ch.Close()
}
