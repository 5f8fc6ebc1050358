package rabbitmq

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestAnIDThatAMQPDoesNotTakeIsDeadAsItWas(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	for _, h := range []amqp.Table{
		{"url": "https://a.example/", "id": strings.Repeat("x", 300)},                                       // no created-at: it is named
		{"url": "https://a.example/", "id": strings.Repeat("x", 300), "created-at": "2026-01-01T00:00:00Z"}, // it would be leased
		{"url": "https://a.example/", "id": strings.Repeat("x", 300), "created-at": "2026-01-01T00:00:00Z", "not-before": "9999-01-01T00:00:00Z"},
	} {
		admin(t, url, func(ch *amqp.Channel) {
			msg := amqp.Publishing{Headers: h, Body: []byte("precious")}
			require.NoError(t, ch.PublishWithContext(t.Context(), "", q.ready(), false, false, msg))
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := q.Receive(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "it isn't given to anybody")
		admin(t, url, func(ch *amqp.Channel) {
			d, ok, err := ch.Get(q.dead(), true)
			require.NoError(t, err)
			if assert.True(t, ok, "a dead letter") {
				assert.Equal(t, "precious", string(d.Body))
				assert.Contains(t, d.Headers["reason"], "header id")
			}
		})
	}
}

func TestWhoHasLeftIsForgottenWhileTheBrokerTakesNothing(t *testing.T) {
	q := newQueue(t)
	enqueue(t, q, messageTo("https://a.example/", "m0"))
	q.publisher.setBlocked(amqp.Blocking{Active: true})
	for range 2000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		require.Error(t, q.Enqueue(ctx, messageTo("https://a.example/", "m")))
		cancel()
	}
	q.publisher.mu.Lock()
	n := len(q.publisher.waiting)
	q.publisher.mu.Unlock()
	assert.Less(t, n, 200)
	q.publisher.setBlocked(amqp.Blocking{})
}

// A debugCount counts how often the channel that publishes was closed.
type debugCount struct {
	slog.Handler
	n atomic.Int64
}

func (d *debugCount) Enabled(context.Context, slog.Level) bool { return true }
func (d *debugCount) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "closed the channel that publishes") {
		d.n.Add(1)
	}
	return nil
}

func TestPermissionThatIsTakenAwayIsNoHotLoop(t *testing.T) {
	newURL(t)
	s := shared.server
	if s == nil {
		t.Skip("it takes a broker of the tests' own: leave SIGNPOST_TEST_AMQP_URL out")
	}
	_, err := s.Ctl("add_user", "clerk", "clerk")
	require.NoError(t, err)
	_, err = s.Ctl("set_permissions", "-p", "/", "clerk", ".*", ".*", ".*")
	require.NoError(t, err)
	url := strings.Replace(s.Address(), "guest:guest", "clerk:clerk", 1)
	prefix := newPrefix(t, s.Address())
	h := &debugCount{Handler: slog.DiscardHandler}
	q := openQueue(t, url, prefix, WithLogger(slog.New(h)))
	enqueue(t, q, messageTo("https://a.example/", "m"))
	_, err = s.Ctl("set_permissions", "-p", "/", "clerk", ".*", "^$", ".*")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	large := messageTo("https://a.example/", "m")
	large.Payload = make([]byte, 5<<20)
	assert.Error(t, q.Enqueue(ctx, large)) // its channel is closed, and with that what it knows of permissions
	assert.Error(t, q.Enqueue(ctx, messageTo("https://a.example/", "m")))
	assert.Less(t, h.n.Load(), int64(30))
	_, err = s.Ctl("set_permissions", "-p", "/", "clerk", ".*", ".*", ".*")
	require.NoError(t, err)
}

// A mute connection says nothing more once a queue is to be declared.
type mute struct {
	net.Conn
	off atomic.Bool
}

func (m *mute) Write(b []byte) (int, error) {
	if m.off.Load() || bytes.Contains(b, []byte{0, 50, 0, 10}) { // queue.declare
		m.off.Store(true)
		return len(b), nil
	}
	return m.Conn.Write(b)
}

func TestOpenEndsWithItsContextWhileItDeclares(t *testing.T) {
	url := newURL(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	_, err := Open(ctx, url, WithLogger(quiet), WithConfig(amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		return &mute{Conn: c}, err
	}}))
	require.Error(t, err)
	assert.Less(t, time.Since(begun), 8*time.Second)
}

func TestAHeldQueueThatIsDeletedIsDeclaredAgain(t *testing.T) {
	url := newURL(t)
	q := openQueue(t, url, newPrefix(t, url), internal(func(c *config) { c.renew = time.Second }))
	enqueue(t, q, messageTo("https://a.example/", "m"))
	l := receive(t, q).(*lease)
	age := func() time.Duration {
		q.mu.Lock()
		defer q.mu.Unlock()
		if len(l.entry.deliveries) == 0 {
			return time.Hour
		}
		return time.Since(l.entry.deliveries[0].at)
	}
	held := ""
	eventually(t, "renewed", func() bool {
		q.mu.Lock()
		held = q.heldQueue
		q.mu.Unlock()
		return held != "" && age() < time.Second/2
	})
	admin(t, url, func(ch *amqp.Channel) {
		_, err := ch.QueueDelete(held, false, false, false)
		require.NoError(t, err)
	})
	there := func() (is bool) {
		admin(t, url, func(ch *amqp.Channel) {
			_, err := ch.QueueDeclarePassive(held, true, false, false, false, nil)
			is = err == nil
		})
		return is
	}
	require.Eventually(t, there, 12*time.Second, 200*time.Millisecond)
}

func TestHeadersThatHaveJustFittedDoNotKeepALease(t *testing.T) {
	url := newURL(t)
	q := openQueue(t, url, newPrefix(t, url))
	h := amqp.Table{"url": "https://a.example/", "id": "m", "created-at": "2026-01-01T00:00:00Z", "header-X": strings.Repeat("x", 131072-130)}
	admin(t, url, func(ch *amqp.Channel) {
		msg := amqp.Publishing{Headers: h, Body: []byte("precious")}
		require.NoError(t, ch.PublishWithContext(t.Context(), "", q.ready(), false, false, msg))
	})
	l := receive(t, q)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	assert.NoError(t, l.Settle(ctx, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired}))
	admin(t, url, func(ch *amqp.Channel) {
		d, ok, err := ch.Get(q.dead(), true)
		require.NoError(t, err)
		if assert.True(t, ok, "a dead letter") {
			assert.Equal(t, "precious", string(d.Body))
		}
	})
}
