package client

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/payload"
	"github.com/signpost-go/signpost/bench/internal/senders"
)

// Load is what to put on a sender: the messages First to First+Count-1.
//
// With an Interval each message has its time, whatever became of those before it; a producer that Send holds up is
// late. Without, the next is sent as soon as Send has returned.
type Load struct {
	First, Count int
	Start        clock.Time
	Interval     time.Duration // between two messages; 0: none
	End          clock.Time    // when to stop, if Send holds the producers up for so long; 0: never
}

// Time is when message First+i is to be sent, if there is an interval.
func (l Load) Time(i int) clock.Time { return l.Start.Add(time.Duration(i) * l.Interval) }

// Loaded says what became of a load.
type Loaded struct {
	Refused []int // messages that Send returned an error for
	Refusal string
}

// run returns when all is sent, or at End. A producer that is held up then is left behind: it sends one more
// message, if that.
func (l Load) run(c Config, producers int, sender senders.Sender) Loaded {
	clock.Sleep(l.Start)
	var (
		next   atomic.Int64
		mu     sync.Mutex // protects loaded
		loaded Loaded
		wg     sync.WaitGroup
	)
	produce := func() {
		p := payload.New(c.Payload)
		for i := int(next.Add(1) - 1); i < l.Count; i = int(next.Add(1) - 1) {
			if l.Interval > 0 {
				clock.Sleep(l.Time(i))
			}
			if l.End != 0 && clock.Now() > l.End {
				return
			}
			n := l.First + i
			p.Number(n)
			if err := sender.Send(c.URLs[c.Order[n%len(c.Order)]], p); err != nil {
				mu.Lock()
				if loaded.Refused = append(loaded.Refused, n); loaded.Refusal == "" {
					loaded.Refusal = err.Error()
				}
				mu.Unlock()
			}
		}
	}
	for range producers {
		wg.Go(produce)
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	if l.End == 0 {
		<-done
	} else {
		clock.Sleep(l.End) // also when all is sent: usage is that of the whole time
	}
	mu.Lock()
	defer mu.Unlock()
	loaded.Refused = slices.Clone(loaded.Refused) // those left behind may yet add to it
	return loaded
}
