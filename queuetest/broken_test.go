package queuetest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

var errBroken = errors.New("broken")

// A broken queue breaks the contract in one way, and the check with the given name says so.
type broken struct {
	name, check, says string
	bend              func(q *memqueue.Queue) *bent
}

func TestBrokenQueuesFail(t *testing.T) {
	all := slices.Concat(brokenEnqueue(), brokenReceive(), brokenSettle(), brokenSettleAgain(), brokenClose(), brokenReopened(), brokenHold())
	found := map[string]bool{}
	for _, b := range all {
		found[b.check] = true
	}
	for _, c := range checks() {
		assert.True(t, found[c.name], "nothing shows that the check %q can fail", c.name)
	}
	results := make([]*recorder, len(all))
	var wg sync.WaitGroup
	room := make(chan struct{}, 24) // they wait most of the time
	for i, b := range all {
		if b.check == checkGoroutines { // it must be alone
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			results[i] = b.run(t)
			<-room
		})
	}
	wg.Wait()
	for i, b := range all {
		t.Run(b.name, func(t *testing.T) {
			r := results[i]
			if r == nil {
				r = b.run(t)
			}
			assert.True(t, r.Failed(), "the check %q does not notice", b.check)
			assert.Contains(t, r.text(), b.says)
		})
	}
}

const (
	checkGoroutines = "Close leaves no goroutines"
	checkLoad       = "under load nothing is lost or doubled"
	checkHoldLoad   = "under load with holds nothing is lost or doubled"
)

// run has the broken queue checked.
func (b broken) run(t *testing.T) *recorder {
	i := slices.IndexFunc(checks(), func(c check) bool { return c.name == b.check })
	if i < 0 {
		return &recorder{TB: t}
	}
	var opened []memqueue.Holding
	h := Harness{Open: func(testing.TB) signpost.Queue {
		q := memqueue.NewHolding()
		if n := len(opened); n > 0 {
			q = opened[n-1].Reopen()
		}
		opened = append(opened, q)
		return bentHolding{b.bend(q.Queue), q}
	}}
	l := limits{patience: 2 * time.Second, slack: 300 * time.Millisecond, quiet: 50 * time.Millisecond}
	if b.check == checkLoad || b.check == checkHoldLoad { // it must come to its end, all but for one message
		l.patience = 6 * time.Second
	}
	r := record(t, checks()[i], h, l)
	for _, q := range opened {
		q.Close() // ends what a broken Receive or Close has left
	}
	return r
}

func brokenEnqueue() []broken {
	const fields, batches, again = "Enqueue keeps every field", "Enqueue takes over a batch", "Enqueue accepts an ID again"
	return []broken{
		{"forgets the header", fields, "header X-One is", shows(func(m *signpost.Message) { m.Header = nil })},
		{"keeps a header's first value", fields, "header X-Many is", shows(func(m *signpost.Message) {
			m.Header = m.Header.Clone()
			for key := range m.Header {
				m.Header[key] = m.Header[key][:1]
			}
		})},
		{"adds a header", fields, `header X-Broker is "[1]", not "missing"`, shows(func(m *signpost.Message) {
			m.Header = m.Header.Clone()
			if m.Header == nil {
				m.Header = http.Header{}
			}
			m.Header.Set("X-Broker", "1")
		})},
		{"keeps UTF-8 only", fields, "payload is", shows(func(m *signpost.Message) { m.Payload = bytes.ToValidUTF8(m.Payload, []byte("�")) })},
		{"trims payloads", fields, "payload is", shows(func(m *signpost.Message) { m.Payload = bytes.TrimSpace(m.Payload) })},
		{"normalises URLs", fields, "URL is", shows(func(m *signpost.Message) { m.URL = strings.ToLower(m.URL) })},
		{"keeps creation time in seconds", fields, "creation time is", shows(func(m *signpost.Message) {
			m.CreatedAt = m.CreatedAt.Truncate(time.Second)
		})},
		{"forgets attempts", fields, "attempts is", shows(func(m *signpost.Message) { m.Attempts = 0 })},
		{"compares IDs without case", fields, "no message came", func(q *memqueue.Queue) *bent {
			known := newSet()
			return enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				return q.Enqueue(ctx, slices.DeleteFunc(slices.Clone(msgs), func(m *signpost.Message) bool { return !known.add(strings.ToLower(m.ID)) })...)
			})(q)
		}},
		{"refuses large payloads", "Enqueue keeps a payload of 1 MiB", "it must take over valid messages",
			enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				if len(msgs[0].Payload) > 1<<18 {
					return errBroken
				}
				return q.Enqueue(ctx, msgs...)
			})},
		{"cuts large payloads", "Enqueue keeps a payload of 1 MiB", "byte for byte", shows(func(m *signpost.Message) {
			m.Payload = m.Payload[:min(1<<16, len(m.Payload))]
		})},
		{"loses a message of a batch", batches, "99 of 100 came", enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
			return q.Enqueue(ctx, slices.Delete(slices.Clone(msgs), 7, 8)...)
		})},
		{"keeps the caller's message", "Enqueue keeps nothing that the caller can change", "msg_changed", func(q *memqueue.Queue) *bent {
			var kept *signpost.Message
			b := &bent{Queue: q, message: func(*signpost.Message) *signpost.Message { return kept }}
			b.enqueue = func(ctx context.Context, msgs []*signpost.Message) error {
				kept = msgs[0]
				return q.Enqueue(ctx, msgs...)
			}
			return b
		}},
		{"keeps the caller's payload", "Enqueue keeps nothing that the caller can change", "payload is", func(q *memqueue.Queue) *bent {
			var payload []byte
			b := shows(func(m *signpost.Message) { m.Payload = payload })(q)
			b.enqueue = func(ctx context.Context, msgs []*signpost.Message) error {
				payload = msgs[0].Payload
				return q.Enqueue(ctx, msgs...)
			}
			return b
		}},
		{"refuses an ID that it knows", again, "it must take over valid messages", func(q *memqueue.Queue) *bent {
			known := newSet()
			return enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				if !known.add(msgs[0].ID) {
					return errBroken
				}
				return q.Enqueue(ctx, msgs...)
			})(q)
		}},
		{"drops a batch with an ID twice", again, "the same IDs may be enqueued again",
			enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				if len(msgs) > 1 {
					return nil
				}
				return q.Enqueue(ctx, msgs...)
			})},
		{"says that it took over what it didn't", "Enqueue with a cancelled context", "did not come",
			enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				if ctx.Err() != nil {
					return nil
				}
				return q.Enqueue(ctx, msgs...)
			})},
		{"takes over half of a batch", "Enqueue cut off takes over all or none", "12 of 25 messages came after Enqueue returned an error",
			enqueues(func(ctx context.Context, q *memqueue.Queue, msgs []*signpost.Message) error {
				if deadline, _ := ctx.Deadline(); len(msgs) == 1 || time.Until(deadline) > 10*time.Millisecond {
					return q.Enqueue(ctx, msgs...)
				}
				<-ctx.Done()
				if err := q.Enqueue(context.Background(), msgs[:len(msgs)/2]...); err != nil {
					return err
				}
				return ctx.Err()
			})},
	}
}
