package memqueue

import (
	"time"

	"github.com/signpost-go/signpost"
)

// A Holding is a Queue that can hold messages back. NewHolding makes one.
type Holding struct{ *Queue }

var _ signpost.HoldingQueue = Holding{}

// NewHolding returns an empty queue.
func NewHolding() Holding { return Holding{New()} }

// Hold implements [signpost.HoldingQueue]. It costs O(log n) for n hosts and endpoints. On a closed queue it does nothing.
func (h Holding) Hold(key string, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.waiting.Hold(key, until, time.Now())
		h.wake()
	}
}

// Reopen is [Queue.Reopen]. The queue that it returns holds nothing back.
func (h Holding) Reopen() Holding { return Holding{h.Queue.Reopen()} }
