package queuetest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

func brokenHold() []broken {
	const (
		host     = "Hold keeps back a host's messages and no others"
		endpoint = "Hold keeps back an endpoint's messages and no others"
		later    = "Hold keeps back what comes later, too"
		replaced = "Hold replaces the one before"
		over     = "Hold is over when its time has passed"
		ended    = "Hold for a time that is past ends it"
		reopened = "reopened, nothing is held back"
	)
	return []broken{
		{"holds nothing", host, "while a host is held", holds(func(memqueue.Holding, string, time.Time) {})},
		{"holds endpoints only", host, "while a host is held", holds(func(q memqueue.Holding, key string, until time.Time) {
			if isEndpoint(key) {
				q.Hold(key, until)
			}
		})},
		{"holds all ports", host, "no message came", holds(func(q memqueue.Holding, key string, until time.Time) {
			name, _, _ := strings.Cut(key, ":")
			for _, port := range []string{":80", ":443", ":8443"} {
				q.Hold(name+port, until)
			}
		})},
		{"holds hosts only", endpoint, "while an endpoint is held", holds(func(q memqueue.Holding, key string, until time.Time) {
			if !isEndpoint(key) {
				q.Hold(key, until)
			}
		})},
		{"holds an endpoint's host", endpoint, "no message came", holds(func(q memqueue.Holding, key string, until time.Time) {
			q.Hold(hostOf(key), until)
		})},
		{"ends a host's hold with its endpoint's", endpoint, "neither its host nor its endpoint is held",
			holds(func(q memqueue.Holding, key string, until time.Time) {
				q.Hold(key, until)
				if until.IsZero() {
					q.Hold(hostOf(key), until)
				}
			})},
		{"puts off what is there", later, "enqueued during a hold is held back", holds(func(q memqueue.Holding, _ string, until time.Time) {
			var all []signpost.Lease
			for l, err := soon(q.Queue); err == nil; l, err = soon(q.Queue) {
				all = append(all, l)
			}
			for _, l := range all {
				l.Settle(context.Background(), deferred(until))
			}
		})},
		{"leaves a hold with the first that comes back", later, "comes back during a hold is held back", func(q *memqueue.Queue) *bent {
			var held []string
			b := holds(func(q memqueue.Holding, key string, until time.Time) {
				held = append(held, key)
				q.Hold(key, until)
			})(q)
			b.settle = func(ctx context.Context, l signpost.Lease, o signpost.Outcome) error {
				if o.State == signpost.Retrying {
					for _, key := range held {
						memqueue.Holding{Queue: q}.Hold(key, time.Time{})
					}
				}
				return l.Settle(ctx, o)
			}
			return b
		}},
		{"settles nothing during a hold", later, "it must settle a lease that is out", func(q *memqueue.Queue) *bent {
			b := holds(memqueue.Holding.Hold)(q)
			b.settle = func(context.Context, signpost.Lease, signpost.Outcome) error { return errBroken }
			return b
		}},
		{"keeps the longest hold", replaced, "no message came", func(q *memqueue.Queue) *bent {
			var longest time.Time
			return holds(func(q memqueue.Holding, key string, until time.Time) {
				longest = latest(until, longest)
				q.Hold(key, longest)
			})(q)
		}},
		{"keeps the first hold", replaced, "replaces the earlier one", func(q *memqueue.Queue) *bent {
			var first time.Time
			return holds(func(q memqueue.Holding, key string, until time.Time) {
				switch {
				case until.IsZero() || time.Until(until) > time.Minute && !first.After(time.Now()):
					q.Hold(key, until)
				case time.Until(until) < time.Minute:
					first = until
					q.Hold(key, until)
				}
			})(q)
		}},
		{"holds for too long", over, "after its hold was over", holds(func(q memqueue.Holding, key string, until time.Time) {
			q.Hold(key, until.Add(500*time.Millisecond))
		})},
		{"rounds holds to seconds, down", over, "before its hold was over", holds(func(q memqueue.Holding, key string, until time.Time) {
			q.Hold(key, until.Truncate(time.Second))
		})},
		{"forgets when messages are due", over, "before it was due", func(q *memqueue.Queue) *bent {
			return settles(func(o *signpost.Outcome) { o.RetryAt = time.Now() })(q)
		}},
		{"never ends a hold", ended, "a time that is past ends a hold", holds(func(q memqueue.Holding, key string, until time.Time) {
			if !until.Before(time.Now()) {
				q.Hold(key, until)
			}
		})},
		{"takes its time to end a hold", ended, "after its hold was over", holds(func(q memqueue.Holding, key string, until time.Time) {
			if until.Before(time.Now()) {
				until = time.Now().Add(500 * time.Millisecond)
			}
			q.Hold(key, until)
		})},
		{"keeps holds", reopened, "no message came", keepsHolds()},
		{"blocks", reopened, "Hold did not return", holds(func(memqueue.Holding, string, time.Time) { time.Sleep(3 * time.Second) })},
		{"loses a message with a hold", checkHoldLoad, "until it is settled, and 1 are missing", func(q *memqueue.Queue) *bent {
			var once sync.Once
			return holds(func(q memqueue.Holding, key string, until time.Time) {
				q.Hold(key, until)
				if l, err := soon(q.Queue); err == nil {
					lost := false
					once.Do(func() { lost = true })
					if !lost {
						l.Settle(context.Background(), deferred(time.Now()))
					}
				}
			})(q)
		}},
	}
}

func isEndpoint(key string) bool { return strings.Contains(key, "://") }

// hostOf returns the host of an endpoint, or the key itself.
func hostOf(key string) string {
	if !isEndpoint(key) {
		return key
	}
	return (&signpost.Message{URL: key}).Host()
}

// keepsHolds has a queue know of holds when it is opened again.
func keepsHolds() func(q *memqueue.Queue) *bent {
	held := map[string]time.Time{}
	return func(q *memqueue.Queue) *bent {
		for key, until := range held {
			memqueue.Holding{Queue: q}.Hold(key, until)
		}
		return holds(func(q memqueue.Holding, key string, until time.Time) {
			held[key] = until
			q.Hold(key, until)
		})(q)
	}
}
