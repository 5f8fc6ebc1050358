package signpost

import (
	"context"
	"time"
)

// A Queue keeps messages where they outlive the process. It delivers at least once: a message that was
// enqueued is received until a lease on it is settled with a final outcome, even if that means twice. Package
// queuetest has the suite that an implementation must pass.
//
// The methods of a Queue and of its leases are safe for concurrent use. A [Dispatcher] calls Enqueue on the
// goroutines of its callers, Receive on one of its own, and Settle on many. It closes no queue: who has opened
// it does, after Shutdown. Several dispatchers may use one Queue, and a service may enqueue without one.
//
// A message is due at a time, at once when it is new. It never comes earlier, and as little later as may be:
// neither those that aren't due yet nor the leases that are out keep it back. No order is promised beyond
// that, but nobody may wait for ever. It is best if among the messages of one endpoint ([Message.Endpoint])
// what is due earlier comes earlier; endpoints may be served in turn.
//
// No message and no outcome has a signing secret in it. But a message's URL and header are kept as they are,
// and either may have a secret of the receiver's. So may the payload. An implementation names messages in
// errors and logs by ID and endpoint.
type Queue interface {
	// Enqueue takes over msgs, all or none. Once it has returned nil they are durable. An error leaves it
	// unknown whether they are; then the same IDs may be enqueued again. They are due at once.
	//
	// A message's ID, URL, payload and header, byte for byte, its creation time, to the millisecond at least,
	// and its attempts are kept. Nothing of msgs is, that the caller could change. What comes from a Dispatcher
	// is valid; what isn't may be taken over or refused. A valid message is refused for nothing but its size.
	//
	// A message whose ID was enqueued before, whatever has become of that one, is no error. It is either left
	// out, and the first one stays as it is, or a message of its own, with a lease of its own.
	Enqueue(ctx context.Context, msgs ...*Message) error

	// Receive blocks until a message is due and returns a lease on it. Nobody else receives the message while
	// the lease is out: until its turn has come and one attempt was made, which may be hours behind a rate limit.
	// A queue whose leases run out by themselves extends them while it is open and its process lives; where one
	// is lost all the same, Settle tells. As many may be out as a dispatcher has room for ([WithQueueSize]).
	//
	// It returns ctx's error as soon as ctx is done; a dispatcher's is when Shutdown begins. A Receive that
	// returns an error has taken no message. After an error that isn't ctx's a dispatcher tries again, later
	// each time, up to ten seconds.
	Receive(ctx context.Context) (Lease, error)

	// Close releases the queue's resources. Calls that wait return an error at once, and so do all calls from
	// then on, Settle on leases that are out included: it changes nothing. Their messages come back as they
	// were when the queue is opened again, or to another receiver, later. To close it again is harmless.
	Close() error
}

// A Lease is the right to deliver one message.
type Lease interface {
	// Message returns the leased message, with the attempts that were made so far. The caller must not change it.
	Message() *Message

	// Settle ends the lease, and returns nil once what the outcome says is durable:
	//
	//   - Delivered: the message never comes back.
	//   - Dead: the message never comes back. If the queue keeps dead letters it is one from now on, for o.Reason.
	//     o.Attempt.Number is 0 if no attempt was made, and otherwise the attempt counts.
	//   - Retrying: the message comes back with one more attempt, at o.RetryAt.
	//   - Deferred: the message comes back as it was, at o.RetryAt. No attempt was made.
	//
	// RetryAt may be rounded later, never earlier; a time that is past, the zero time among them, is at once. A
	// queue may keep the rest of an outcome, as a record, or drop it. The texts of Attempt.Err and Reason are
	// redacted; Attempt.Body is whatever the receiver has sent, and must not be changed.
	//
	// An error leaves it unknown whether it did; then Settle may be called again with the same outcome, which
	// counts once. A Settle of a settled lease returns [ErrSettled], one after the lease was given to somebody
	// else [ErrLeaseLost], and neither changes anything. A dispatcher tries again after other errors until it
	// ends. ctx is done a second after that.
	Settle(ctx context.Context, o Outcome) error
}

// A RevocableLease is a Lease that its queue can take back while it is out, as a broker does when it deals its messages out
// anew. A dispatcher asks before every attempt, and makes none once the lease is lost: somebody else makes it.
type RevocableLease interface {
	Lease
	// Lost reports whether the lease is lost, so that Settle would return [ErrLeaseLost]. Once it is it stays so. Lost must
	// not block.
	Lost() bool
}

// A SharedQueue is a Queue from which several dispatchers receive messages for the same host: each keeps
// 1/Consumers of the per-host rate limit, asked for every few seconds.
type SharedQueue interface {
	Queue
	// Consumers returns how many dispatchers receive from the queue now, this one included. While it returns an
	// error or 0, the share stays as it is.
	Consumers(ctx context.Context) (int, error)
}

// A HoldingQueue is a Queue that can hold back all messages for a host or an endpoint at once, so that those
// that wait for a dead receiver are neither received nor written again and again. Without it a dispatcher
// settles each of them as Deferred whenever it comes.
type HoldingQueue interface {
	Queue
	// Hold asks that no message whose [Message.Host] or [Message.Endpoint] is key be given before the given time
	// by a Receive that is called after Hold has returned; it would be settled as Deferred. Those that are new or
	// come back during the hold are held back as well. A message comes when no hold on its host or endpoint is
	// left and it is due.
	//
	// A later call for the same key replaces the earlier one, be its time earlier or later. A time that is not
	// in the future, such as the zero time, ends the hold at once, for a Receive that waits too. Leases that are
	// out stay out, and are settled as ever.
	//
	// A hold is a hint. It is kept in memory and doesn't outlive the queue; with several dispatchers it is
	// enough if it holds for the one that asked. Hold must not block, and does nothing on a closed queue. A
	// dispatcher calls it on one goroutine at a time, and ends all of its holds before Shutdown returns.
	Hold(key string, until time.Time)
}
