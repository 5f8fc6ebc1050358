// Package rabbitmq keeps the messages of signpost dispatchers at a RabbitMQ broker, so that a fleet of instances shares them:
// what one of them has accepted any of them delivers, and when one is killed the others go on.
//
//	queue, err := rabbitmq.Open(ctx, "amqps://shop:…@broker.internal/webhooks")
//	…
//	defer queue.Close()
//	dispatcher, err := signpost.New(signpost.WithQueue(queue), signpost.WithSecret("whsec_…"))
//
// # The promise
//
// Once [signpost.Dispatcher.Send] has returned nil the broker has confirmed the message: a majority of the queue's replicas
// has it on disk. From then on it is at the broker until it is delivered or dead. What goes on, a retry or a dead letter, is
// published and confirmed before the broker is told to forget the message as it was. So nothing accepted is lost when
// instances are killed, or the broker is.
//
// A message may come twice, under the same webhook-id as always: if an instance is killed after the receiver has answered, or
// if the broker is in the last milliseconds before it was told. A message that the broker gives again to the instance that has
// ended it, or still has it, is recognized and not sent again.
//
// A Send that returned an error may have been accepted all the same. The queue doesn't look for IDs that it had before: a
// message that is enqueued twice is sent twice.
//
// # At the broker
//
// The queues are declared by [Open], under names with a prefix ([WithPrefix]). All are quorum queues.
//
//	signpost.ready       messages to be delivered; all instances take from it
//	signpost.delay.1s    messages that wait: after a second the broker moves them to ready
//	signpost.delay.10s   … and so on: 1m, 10m, 1h, 6h
//	signpost.dead        dead letters, with the reason; nobody takes from it
//	signpost.held.0      messages that an instance has had for more than ten minutes; one queue for each instance that has such
//
// A message that waits takes the longest step that fits, with the time when it is due, and hops until then; the last part of
// less than a second it waits in an instance's memory. It is never early if the instances' clocks agree.
//
// Dead letters have the headers reason, died-at, last-status and last-error beside their own, and may be sent again by moving
// them to ready, with a shovel for one. What is put into ready by other programs is described in docs/wire.md.
//
// # What survives what
//
// An instance that is killed: its messages go to others at once. A connection that is lost: it is made again, with jitter;
// what wasn't confirmed is published again, and leases go on if their messages come again to the same instance, as they do if
// it is the only one; otherwise Settle returns [signpost.ErrLeaseLost]. A broker that is away: Send waits for it until its
// context is done. A broker that is short of memory takes no messages: Send waits, and deliveries go on, for acks go over a
// connection of their own. A queue that somebody deletes: it is declared again, and who published to it meanwhile gets
// [ErrUnroutable].
//
// # What it needs
//
// RabbitMQ 3.10 or later. Two settings of the broker matter:
//
//   - dead_letter_worker_publisher_confirm_timeout is how long the broker waits until it moves a message on again that its
//     target didn't take. When a broker starts, the queues with messages that are due may be up before ready is. These
//     messages then come after that time, once or twice; nothing is lost. It is three minutes if nothing is said. In
//     advanced.config ten seconds are better: [{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 10000}]}].
//   - consumer_timeout must be 20 minutes at least; it is 30 if nothing is said.
//
// The user needs permission to configure, write and read queues whose names begin with the prefix. Messages that are moved go
// through the default exchange. TLS and SASL are set with [WithConfig]. The instances' clocks must agree, to a second or so.
//
// # Sizes
//
// An instance has up to [WithPrefetch] messages in memory, 12,000 if nothing is said, leases included. Payloads are bounded by
// the broker's max_message_size, headers and URL together by its frame_max (128 KiB), and names of headers by 248 bytes. What
// is larger is refused with [ErrRefused], and costs no other message. At most 32 messages at a time are moved from each delay
// queue to ready (dead_letter_worker_consumer_prefetch).
//
// # Fairness between hosts
//
// All messages stand in one queue, and an instance takes them in the order in which they came. Those for a host or an endpoint
// that the dispatcher pauses stay aside in memory, and when they become many they go to the delay queues and come back little
// by little. So a dead host's backlog is in the way of others only until it was taken out of ready once.
//
// The broker deals messages out evenly; each instance keeps its part of the per-host rate limit ([Queue.Consumers]). An
// instance that never calls Receive, with [signpost.WithWorkers](0), doesn't count.
//
// # What it does not do
//
// It keeps no log of deliveries; package sqlite does. It keeps no order between messages. It encrypts nothing at the broker.
package rabbitmq
