package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

var ctx = context.Background()

// small is a soak of some seconds.
var small = config{
	duration: 2500 * time.Millisecond, rate: 50, hosts: 20, restart: time.Second, seed: 1,
	timeout: time.Second, maxAge: 1500 * time.Millisecond, grace: time.Minute, calm: 100 * time.Millisecond, spell: 500 * time.Millisecond,
	forget: time.Minute, statusLine: time.Second,
}

func start(t *testing.T, c config) (*soak, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	s, err := newSoak(c, out, t.Output())
	require.NoError(t, err)
	return s, out
}

func TestSoak(t *testing.T) {
	s, out := start(t, small)
	assert.Zero(t, s.run(ctx, ctx), "exit status: %s", out)
	b := s.ledger.Balance()
	assert.Positive(t, b.Messages)
	assert.Positive(t, b.Delivered)
	assert.Positive(t, b.Requests)
	assert.Equal(t, b.Messages, b.Delivered+b.Dead)
	assert.Zero(t, b.HandedBack)
	assert.Positive(t, s.restarts.Load())
	assert.Positive(t, s.tally.changes.Load())
	assert.Contains(t, out.String(), "the ledger balances")
}

// The books of a soak can be wrong, and then it says so.
func TestSoakThatDoesNotBalance(t *testing.T) {
	c := small
	c.duration, c.hosts = 100*time.Millisecond, 5
	t.Run("a message is lost", func(t *testing.T) {
		s, out := start(t, c)
		s.ledger.Accept("msg_lost")
		assert.Equal(t, 1, s.run(ctx, ctx))
		assert.Contains(t, out.String(), "message msg_lost is lost")
		assert.NotContains(t, out.String(), "balances")
	})
	t.Run("a message was never accepted", func(t *testing.T) {
		s, out := start(t, c)
		s.ledger.Observe(ctx, &signpost.Message{ID: "msg_unknown"}, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired})
		assert.Equal(t, 1, s.run(ctx, ctx))
		assert.Contains(t, out.String(), "message msg_unknown was never accepted")
	})
	t.Run("the receivers' process ends", func(t *testing.T) {
		c := c
		c.duration = time.Minute
		s, out := start(t, c)
		require.NoError(t, s.child.cmd.Process.Kill())
		finishing, cancel := context.WithCancel(ctx)
		cancel()
		assert.Equal(t, 1, s.run(ctx, finishing))
		assert.Contains(t, out.String(), "the receivers' process has ended")
	})
}

// An interrupt ends a soak early, and the books balance all the same; the second one lets messages be handed back.
func TestInterrupts(t *testing.T) {
	c := small
	c.duration = time.Hour
	for _, c := range []struct {
		name      string
		config    config
		interrupt int
	}{{"one", c, 1}, {"two", c, 2}} {
		t.Run(c.name, func(t *testing.T) {
			s, out := start(t, c.config)
			sending, stop := context.WithTimeout(ctx, 300*time.Millisecond)
			defer stop()
			finishing, abort := context.WithCancel(ctx)
			defer abort()
			if c.interrupt == 2 {
				abort()
			}
			assert.Zero(t, s.run(sending, finishing), "exit status: %s", out)
			b := s.ledger.Balance()
			assert.Equal(t, b.Messages, b.Delivered+b.Dead+b.HandedBack)
		})
	}
}

func TestGrowth(t *testing.T) {
	before := reading{heap: 1 << 20, goroutines: 5, files: 12}
	for _, c := range []struct {
		name  string
		after reading
		want  int
	}{
		{"none", before, 0},
		{"less", reading{heap: 1, goroutines: 4, files: 11}, 0},
		{"a heap that is a little larger", reading{heap: 35 << 20, goroutines: 5, files: 12}, 0},
		{"a heap", reading{heap: 36 << 20, goroutines: 5, files: 12}, 1},
		{"a goroutine", reading{goroutines: 6, files: 12}, 1},
		{"a file", reading{goroutines: 5, files: 13}, 1},
		{"all", reading{heap: 1 << 30, goroutines: 500, files: 500}, 3},
	} {
		assert.Len(t, growth(before, c.after), c.want, c.name)
	}
	assert.Empty(t, growth(reading{files: unknown}, reading{files: unknown}))
}

// What the ledger has forgotten still counts, and can't come back unnoticed.
func TestForgottenMessages(t *testing.T) {
	delivered := signpost.Outcome{State: signpost.Delivered}
	for name, late := range map[string]func(l *ledger.Ledger, m *signpost.Message){
		"an outcome": func(l *ledger.Ledger, m *signpost.Message) { l.Observe(ctx, m, delivered) },
		"a request":  func(l *ledger.Ledger, m *signpost.Message) { l.Arrived(m.ID, nil) },
		"handed back": func(l *ledger.Ledger, m *signpost.Message) {
			l.HandBack(&signpost.UndeliveredError{Messages: []*signpost.Message{m}})
		},
		"not verified": func(l *ledger.Ledger, m *signpost.Message) { l.Arrived(m.ID, errors.New("bad signature")) },
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger.New(signpost.NewSecret())
			m, lost := &signpost.Message{ID: "msg_a"}, "msg_lost"
			l.Accept(m.ID)
			l.Observe(ctx, m, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired})
			l.Accept(lost)
			l.Forget(0)
			assert.Equal(t, ledger.Balance{Messages: 2, Dead: 1}, l.Balance())
			problems := l.Problems()
			require.Len(t, problems, 1, "what doesn't balance isn't forgotten")
			assert.Contains(t, problems[0], lost)
			late(l, m)
			assert.Greater(t, len(l.Problems()), 1)
		})
	}
}
