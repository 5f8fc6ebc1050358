package rabbitmq

import "errors"

// What Open and a queue's methods return, wrapped with what was wrong and what to do.
var (
	ErrClosed      = errors.New("rabbitmq: queue is closed")                         // by Close
	ErrTopology    = errors.New("rabbitmq: queue at the broker has other arguments") // than this package's; Open does not change it
	ErrRefused     = errors.New("rabbitmq: broker refuses the message")              // it is too large, or a policy limits the queue
	ErrUnroutable  = errors.New("rabbitmq: queue at the broker is gone")             // somebody has deleted it; it is declared again
	errUnconnected = errors.New("rabbitmq: not connected to the broker")             // now; it is tried again and again
)
