package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

const (
	day    = 24 * time.Hour
	probes = int(day / (5 * time.Minute)) // of an open breaker in a day, at most
	first  = 40                           // attempts until the breaker is fully open, generously
)

var errRefused = errors.New("connection refused")

// A message a minute goes to the host that is down, and some to a healthy neighbour. Every message lives for a day at most.
func hostDown(down clockReply) func(t *testing.T) {
	return func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			var ended graves
			w := newClockWorld(t, signpost.WithRateLimit(5, 5), signpost.WithObserver(ended.observe))
			w.answer = downAt("down.example/", down)
			payload := append(append([]byte{'"'}, bytes.Repeat([]byte{'a'}, 2<<10)...), '"')
			const perDay = 24 * 60
			var ids []string
			for minute := range 2 * perDay {
				ids = append(ids, w.enqueue(&signpost.Message{URL: "http://down.example/", Payload: payload}))
				if minute%5 == 0 {
					w.deliversAtOnce("http://up.example/")
				}
				time.Sleep(time.Until(w.begin.Add(time.Duration(minute+1) * time.Minute)))
				if minute%60 == 0 {
					assert.LessOrEqual(t, w.held(), perDay+10)
					assert.LessOrEqual(t, w.d.Stats().Bytes, int64((perDay+10)*len(payload)))
				}
			}
			attempts := len(w.toHost("down.example"))
			assert.LessOrEqual(t, attempts, 2*probes+first)
			assert.GreaterOrEqual(t, attempts, probes, "but it is tried")
			assert.NotZero(t, w.d.Hosts()[0].PausedUntil)
			assert.Greater(t, ended.count(), perDay-10)
			assert.Less(t, ended.alive(), 20, "what has died lets its memory go")

			w.set(nil)
			back := time.Now()
			var pending []string
			for _, id := range ids {
				if state := w.ledger.Last(id).State; state != signpost.Dead {
					pending = append(pending, id)
				}
			}
			require.NoError(t, w.d.Shutdown(ctx))
			got := 0
			for _, id := range pending {
				if o := w.ledger.Last(id); o.State == signpost.Delivered {
					got++
				} else {
					assert.ErrorIs(t, o.Reason, signpost.ErrExpired, "before the probe that finds it back")
				}
			}
			assert.Greater(t, got, perDay-50)
			assert.GreaterOrEqual(t, got, len(pending)-10)
			assert.Less(t, time.Since(back), 2*time.Hour)
			withinLimit(t, w.toHost("down.example"), 5, 5)
		})
	}
}

// The host has other endpoints, which get a message every minute in turn. An attempt at the one that hangs takes longer than
// that, so the host always answers others meanwhile.
func endpointDown(down clockReply) func(t *testing.T) {
	return func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			w := newClockWorld(t, signpost.WithTimeout(90*time.Second))
			w.answer = downAt("/down", down)
			for minute := range 2 * 24 * 60 {
				w.send("http://shared.example/down")
				w.deliversAtOnce(fmt.Sprintf("http://shared.example/up%d", minute%3))
				time.Sleep(time.Until(w.begin.Add(time.Duration(minute+1) * time.Minute)))
			}
			attempts := len(w.to(func(v *visit) bool { return strings.HasSuffix(v.url, "/down") }))
			assert.LessOrEqual(t, attempts, 2*probes+first)
			assert.GreaterOrEqual(t, attempts, probes, "but it is tried")
			assert.Equal(t, 1, w.d.Hosts()[0].Paused)
			assert.LessOrEqual(t, w.held(), 24*60+10)
		})
	}
}

// An attempt takes a quarter of a minute here, so at first some speak of a host that answers nothing.
func endpointDownOnAQuietHost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const timeout, known = 15 * time.Second, 15 * time.Minute
		w := newClockWorld(t, signpost.WithTimeout(timeout))
		w.answer = downAt("/down", clockReply{takes: -1})
		var others []string
		for minute := range 6 * 60 {
			w.send("http://shared.example/down")
			if since := time.Since(w.begin); since < known {
				others = append(others, w.send("http://shared.example/up"))
			} else {
				w.deliversAtOnce("http://shared.example/up")
			}
			time.Sleep(time.Until(w.begin.Add(time.Duration(minute+1) * time.Minute)))
		}
		for i, id := range others {
			os := w.ledger.Of(id)
			require.Equal(t, delivered, states(os))
			assert.LessOrEqual(t, os[0].Attempt.Start.Sub(w.begin.Add(time.Duration(i)*time.Minute)), timeout)
		}
	})
}

// downAt answers so at what ends like this, and well elsewhere.
func downAt(suffix string, down clockReply) func(v *visit) clockReply {
	return func(v *visit) clockReply {
		if strings.HasSuffix(v.url, suffix) {
			return down
		}
		return clockReply{takes: 10 * time.Millisecond}
	}
}

func hundredHostsDown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const workers, hosts = 16, 100
		w := newClockWorld(t, signpost.WithWorkers(workers), signpost.WithTimeout(5*time.Second), signpost.WithRetryPolicy(signpost.RetryPolicy{
			MaxAttempts: 1000, BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Minute) },
		}))
		w.answer = downAt("/down", clockReply{takes: -1})
		for minute := range 12 * 60 {
			if minute%60 == 0 {
				for i := range hosts {
					w.send(fmt.Sprintf("http://h%d.example/down", i))
				}
			}
			if minute >= 10 { // nothing was known of the hosts at first
				w.deliversAtOnce(fmt.Sprintf("http://up%d.example/", minute%10))
				assert.LessOrEqual(t, w.peak(""), workers/2+1, "and the healthy one's")
			} else {
				w.peak("")
			}
			time.Sleep(time.Until(w.begin.Add(time.Duration(minute+1) * time.Minute)))
		}
		for i := range hosts {
			attempts := len(w.toHost(fmt.Sprintf("h%d.example", i)))
			assert.LessOrEqual(t, attempts, probes/2+first)
			assert.GreaterOrEqual(t, attempts, probes/4, "but it is tried")
		}
	})
}

// deliversAtOnce sends a message that must be delivered at its first attempt, which takes 10 ms.
func (w *clockWorld) deliversAtOnce(url string) {
	w.t.Helper()
	id := w.send(url)
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	if !assert.Equal(w.t, delivered, states(w.ledger.Of(id)), "after %v", time.Since(w.begin)) {
		w.t.FailNow()
	}
}

// graves know the payloads of messages that have died, without keeping them.
type graves struct {
	mu  sync.Mutex
	all []weak.Pointer[byte]
}

func (g *graves) observe(_ context.Context, m *signpost.Message, o signpost.Outcome) {
	if o.State == signpost.Dead {
		g.mu.Lock()
		g.all = append(g.all, weak.Make(&m.Payload[0]))
		g.mu.Unlock()
	}
}

func (g *graves) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.all)
}

// alive returns how many of the payloads are still in memory.
func (g *graves) alive() (n int) {
	runtime.GC()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.all {
		if p.Value() != nil {
			n++
		}
	}
	return n
}
