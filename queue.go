package signpost

import "context"

// A Queue keeps messages where they outlive the process. It delivers at least once: a message that was
// enqueued is received until a lease on it is settled with a final outcome, even if that means twice. Its
// methods are safe for concurrent use. Package queuetest has the suite that an implementation must pass.
type Queue interface {
	// Enqueue takes over msgs, all or none. Once it has returned nil they are durable. An error leaves it
	// unknown whether they are; then the same IDs may be enqueued again. It keeps nothing of msgs that the
	// caller could change. A message's ID, URL, payload, header, creation time (to the millisecond at least)
	// and attempts are kept; it is due at once.
	Enqueue(ctx context.Context, msgs ...*Message) error
	// Receive blocks until a message is due and returns a lease on it. Nobody else receives the message while
	// the lease is out. It returns ctx's error when ctx is done. After any other error the caller tries
	// again, later each time.
	Receive(ctx context.Context) (Lease, error)
	// Close releases the queue's resources. Messages whose leases aren't settled come back when the queue is
	// opened again, or to another receiver, later. Calls that wait return an error.
	Close() error
}

// A Lease is the right to deliver one message.
type Lease interface {
	// Message returns the leased message. The caller must not change it.
	Message() *Message
	// Settle ends the lease, once what the outcome says is durable: Delivered and Dead messages never come
	// back; Retrying ones come back with one more attempt, Deferred ones as they were, at o.RetryAt or later,
	// never earlier. An error leaves it unknown whether it did; then Settle may be called again. A second
	// Settle of a settled lease returns ErrSettled, one after the lease was given to somebody else
	// ErrLeaseLost.
	Settle(ctx context.Context, o Outcome) error
}

// SharedQueue is a Queue from which several dispatchers receive messages for the same host: each keeps
// 1/Consumers of the per-host rate limit, asked for every few seconds.
type SharedQueue interface {
	Queue
	// Consumers returns how many dispatchers receive from the queue now, this one included.
	Consumers(ctx context.Context) (int, error)
}
