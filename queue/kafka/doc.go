// Package kafka keeps the messages of signpost dispatchers in a Kafka cluster, so that no webhook is lost with the process that
// was to send it, and several instances share the work. Each host belongs to one instance at a time.
//
//	queue, err := kafka.Open(ctx, []string{"kafka-1:9092", "kafka-2:9092"})
//	…
//	defer queue.Close()
//	dispatcher, err := signpost.New(signpost.WithQueue(queue), signpost.WithSecret("whsec_…"))
//
// A service that only sends, and leaves delivery to others, gives [signpost.WithWorkers](0): its instances don't join the
// consumer group. Programs in any language may send without this package; see docs/wire.md.
//
// # The promise
//
// Once [signpost.Dispatcher.Send] has returned nil all replicas in sync have the message. It is delivered or dead in the end,
// whichever instances, and brokers that others can stand in for, die meanwhile. An outcome is durable before the dispatcher
// goes on. What comes twice is what was out when its partition went to another instance, or what was written twice because an
// answer was lost with a broker: under the same webhook-id, as always with signpost. A batch that fails may have been taken
// over in part.
//
// Kafka remembers for a consumer only up to where everything is finished, and webhooks end in any order. So an offset is
// committed only up to the lowest message that is not finished, and the commit's metadata say which are finished beyond it;
// metadata.go has the format. All that is settled at a time, in all partitions, goes with one
// commit. A message that is out for long, behind a rate limit, is carried forward: written again to the end of its partition,
// so that it holds up neither the commits nor its neighbours.
//
// # Topics
//
// Open creates them if they aren't there; [WithPrefix] sets what stands for signpost:
//
//	signpost.ready      what is due, or soon: keyed by host, 12 partitions (WithPartitions)
//	signpost.delay.1s   what waits for a second at least; and so 10s, 1m, 10m, 1h, 6h: 3 partitions each
//	signpost.dead       dead letters, with the reason: 3 partitions
//
// The consumer group is called signpost. A message that is due later goes to the delay topic with the longest step that isn't
// longer than its wait, waits there for the step, and goes on from there, until what is left is less than the smallest step;
// for that it waits in memory. So a long wait doesn't stand before a short one, and none ends early. A wait costs up to some
// twenty such hops, one of 90 minutes four.
//
// In the topics that are consumed messages are kept for ever (retention.ms and retention.bytes are -1), since one may wait for
// longer than any retention; what is finished is deleted by the queue itself, every minute. Dead letters are kept until you
// set the topic's retention.ms, or delete them. A topic that exists with settings that could lose messages, that is smaller
// than asked for, or takes smaller messages, makes Open return [ErrTopology].
//
// Partitions may be added to the ready topic later. Most hosts then have another partition, and what is in the old one is
// moved there when its turn comes; so it is with what other producers put elsewhere. Until that is done two instances may
// send to a host.
//
// # What survives what
//
//   - An instance is killed: others have its partitions after ten seconds at most, and what it had out comes again there.
//   - The brokers can't be reached: Send waits until its context is done, outcomes until they can; both go on by themselves.
//     An instance that is cut off for more than ten seconds loses its partitions to others.
//   - A broker is lost: nothing, with a replication of 3 ([WithReplication]) and min.insync.replicas=2. With one replica, what
//     its disk had not got yet: Kafka answers before that.
//   - A broker restarts: leases stay out, and what was settled meanwhile is committed, if the group comes back as it was.
//   - An instance joins or leaves: partitions move (cooperative-sticky: only those that must). What is being settled is
//     committed before. What is out of a partition that moves comes again at the other instance, and is sent twice only if an
//     attempt is being made at that moment ([signpost.RevocableLease]). The balancer evens out all topics together, not the
//     ready topic by itself: instances may have unequal parts of that.
//   - A topic is deleted: its messages are gone. Send says so. Open creates it again.
//   - A group's offsets expire, when no instance has run for offsets.retention.minutes (7 days): nothing, but what was finished
//     in the last minute may come again.
//
// The clocks of instances must agree, as far as waits are to be right.
//
// # What it needs
//
// Kafka 3.0 or later; it is tested with 4.4. With ACLs, principals that send need Write and Describe on signpost.ready, and
// Describe and DescribeConfigs on the other topics; those that deliver need Read, Write, Describe, DescribeConfigs and Delete on
// all topics, and Read on the group. Delete is for what is finished (DeleteRecords). Who opens the queue first needs Create, or
// creates the topics beforehand. TLS and SASL are the client's:
//
//	kafka.WithClientOptions(kgo.DialTLSConfig(config), kgo.SASL(plain.Auth{User: user, Pass: pass}.AsMechanism()))
//
// Topic names have dots. Kafka takes dots and underscores for the same in the names of metrics, and refuses a topic that is
// the same as another one in that way: don't have both "a.b" and "a_b" as prefixes.
//
// # Sizes and limits
//
// A broker measures messages as they are compressed, so that other producers can get in what is larger than [WithMaxBytes]. It
// can't go on from there, and is dead at once; beyond what the dead topic takes, without its payload.
//
// A message of 1 KiB takes some 1.3 KB in a topic, less with compression, and twice or more that when it is retried. An instance
// has up to [WithPrefetch] messages in memory beside the dispatcher's, and 64 MiB of them; of each partition of a delay topic
// 2,000 or 2 MiB. A commit's metadata are 4,096 characters at most, which the brokers' offset.metadata.max.bytes must allow, and
// does by default. With fewer, the queue says so in the log, and carries messages forward sooner.
//
// As many instances work as the ready topic has partitions. A host is one instance's, so that its rate limit holds over all of
// them as it is; so one host can't be sent to faster than one instance can.
//
// # What it does not do
//
// It keeps no order between messages. It doesn't drop a message that was enqueued twice. It encrypts nothing, and signing
// secrets are never in a topic.
package kafka
