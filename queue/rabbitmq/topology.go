package rabbitmq

import (
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost/internal/ladder"
)

// unlimited is a delivery limit that isn't reached. Without one RabbitMQ 4 drops a message that has come 20 times; older
// versions don't take -1 for "none".
const unlimited = 1 << 30

// The queues at the broker.
func (c *config) ready() string                { return c.prefix + ".ready" }
func (c *config) dead() string                 { return c.prefix + ".dead" }
func (c *config) delay(d time.Duration) string { return c.prefix + ".delay." + ladder.Name(d) }
func (c *config) held(slot int) string         { return fmt.Sprintf("%s.held.%d", c.prefix, slot) }

// plain are the arguments of a queue whose messages stay until they are taken.
func (c *config) plain() amqp.Table {
	return amqp.Table{
		amqp.QueueTypeArg:     amqp.QueueTypeQuorum,
		amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish,
		"x-delivery-limit":    int64(unlimited),
	}
}

// passing are the arguments of a queue whose messages go on to ready after a while. The broker does so at least once: it
// publishes a message there and has that confirmed before it drops it here
// (https://www.rabbitmq.com/docs/quorum-queues, "At-least-once dead lettering").
func (c *config) passing(after time.Duration) amqp.Table {
	args := c.plain()
	args[amqp.QueueMessageTTLArg] = after.Milliseconds()
	args["x-dead-letter-exchange"] = "" // the default one, where a routing key is a queue's name
	args["x-dead-letter-routing-key"] = c.ready()
	args["x-dead-letter-strategy"] = "at-least-once"
	return args
}

// declare makes sure that the queues are there.
func (c *config) declare(conn *amqp.Connection) error {
	if err := declareQueue(conn, c.ready(), c.plain()); err != nil {
		return err
	}
	if err := declareQueue(conn, c.dead(), c.plain()); err != nil {
		return err
	}
	for _, d := range c.steps {
		if err := declareQueue(conn, c.delay(d), c.passing(d)); err != nil {
			return err
		}
	}
	return nil
}

// declareQueue uses a channel of its own, since the broker closes that if it doesn't agree.
func declareQueue(conn *amqp.Connection, name string, args amqp.Table) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	_, err = ch.QueueDeclare(name, true, false, false, false, args)
	var said *amqp.Error
	if errors.As(err, &said) && said.Code == amqp.PreconditionFailed {
		return fmt.Errorf("%w: queue %q: %s; delete it if it is empty, or give another prefix (WithPrefix)",
			ErrTopology, name, said.Reason)
	}
	if err != nil {
		return fmt.Errorf("rabbitmq: declare queue %q: %w", name, err)
	}
	return ch.Close()
}
