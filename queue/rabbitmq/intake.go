package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// An intake takes messages from the broker, on several channels of one connection, and acknowledges them.
type intake struct {
	*Queue
	conn *amqp.Connection
	slot string // the queue for old leases; "": none yet
}

// A consumer is a channel on which messages come. Its acks are written by a goroutine of its own: nobody else waits for a
// broker that doesn't read.
type consumer struct {
	ch   *amqp.Channel
	kick chan struct{}

	mu    sync.Mutex // protects the following fields; a leaf
	acks  []ack
	ended bool
}

type ack struct {
	tag  uint64      // 0: of none; it is only told when those before it are written
	then func(error) // nil: nobody waits
}

// use takes messages until the connection has ended.
func (q *Queue) use(ctx context.Context, conn *amqp.Connection) error {
	in := &intake{Queue: q, conn: conn}
	ended := conn.NotifyClose(make(chan *amqp.Error, 1))
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	q.conn.Store(conn)
	defer q.conn.Store(nil)
	each := (q.prefetch + q.channels - 1) / q.channels
	for range q.channels {
		wg.Go(func() { in.keep(ctx, each) })
	}
	wg.Go(func() { in.keepHeld(ctx) })
	select {
	case said := <-ended:
		return asError(said)
	case <-ctx.Done():
		closeConnection(conn)
		return ctx.Err()
	}
}

// keep has messages come from ready, on one channel after the other.
func (in *intake) keep(ctx context.Context, prefetch int) {
	wait := newBackOff()
	for {
		begun := time.Now()
		err := in.consume(ctx, in.ready(), prefetch, in.consuming)
		if ctx.Err() != nil || in.conn.IsClosed() {
			return
		}
		if time.Since(begun) > time.Minute {
			wait.Reset()
		}
		in.logger.Warn("rabbitmq: broker has closed a channel, it is opened again", "prefix", in.prefix, "err", err)
		if !sleep(ctx, wait.NextBackOff()) {
			return
		}
		if err := in.declare(in.conn); err != nil {
			in.logger.Error("rabbitmq: queues can't be declared", "prefix", in.prefix, "err", err)
		}
	}
}

// consumeHeld has messages come from a queue of this instance's own.
func (in *intake) consumeHeld(ctx context.Context, name string) error {
	return in.consume(ctx, name, in.prefetch, func(change int) {
		if change > 0 {
			in.setHeld(name)
		}
	})
}

// consume has messages of a queue come on one channel, until that has ended. count hears when it begins and ends.
func (in *intake) consume(ctx context.Context, queue string, prefetch int, count func(change int)) error {
	ch, err := in.conn.Channel()
	if err != nil {
		return fmt.Errorf("rabbitmq: open a channel: %w", err)
	}
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	cancelled := ch.NotifyCancel(make(chan string, 1))
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return fmt.Errorf("rabbitmq: set the prefetch: %w", err)
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("rabbitmq: consume from %q: %w", queue, err)
	}
	c := &consumer{ch: ch, kick: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	over := make(chan struct{})
	wg.Go(func() { c.write(over) })
	in.open(c)
	count(1)
	for d := range deliveries {
		in.arrive(c, &d)
	}
	count(-1)
	close(over)
	wg.Wait()
	in.channelGone(c)
	select {
	case name := <-cancelled:
		if name != "" {
			_ = ch.Close() // or its messages stay with it
			return fmt.Errorf("rabbitmq: broker has cancelled consuming from %q; was the queue deleted?", queue)
		}
	default:
	}
	return asError(<-closed)
}

// open enters a channel on which messages come; channelGone takes it out again.
func (q *Queue) open(c *consumer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taking[c] = struct{}{}
}

// flush waits until all acks are written, or for as long as the broker has to say goodbye.
func (q *Queue) flush() {
	q.mu.Lock()
	written := make(chan struct{}, len(q.taking))
	n := 0
	for c := range q.taking {
		if c.ack(0, func(error) { written <- struct{}{} }) {
			n++
		}
	}
	q.mu.Unlock()
	limit := time.NewTimer(closeTime)
	defer limit.Stop()
	for range n {
		select {
		case <-written:
		case <-limit.C:
			return
		}
	}
}

// ack has a delivery acknowledged, and reports whether that was begun: if not, the channel has ended. It doesn't block. then
// hears whether it was written.
func (c *consumer) ack(tag uint64, then func(error)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.acks = append(c.acks, ack{tag, then})
	select {
	case c.kick <- struct{}{}:
	default:
	}
	return true
}

// write is the goroutine that writes acks.
func (c *consumer) write(over <-chan struct{}) {
	for {
		c.mu.Lock()
		acks := c.acks
		c.acks = nil
		c.mu.Unlock()
		for _, a := range acks {
			var err error
			if a.tag != 0 {
				err = c.ch.Ack(a.tag, false)
			}
			if a.then != nil {
				a.then(err)
			}
		}
		select {
		case <-c.kick:
		case <-over:
			c.mu.Lock()
			c.ended = true
			acks, c.acks = c.acks, nil
			c.mu.Unlock()
			for _, a := range acks {
				if a.then != nil {
					a.then(amqp.ErrClosed)
				}
			}
			return
		}
	}
}
