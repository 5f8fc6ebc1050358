package rabbitmq

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestOptions(t *testing.T) {
	_, err := Open(t.Context(), "http://nowhere", WithPrefix(""), WithLogger(nil), WithPrefetch(0), nil,
		WithConfig(amqp.Config{Recovery: &amqp.Recovery{}}))
	for _, part := range []string{
		"URL can't be parsed", "WithPrefix", "WithLogger", "WithPrefetch(0)", "option 4 of 5 is nil", "Recovery",
	} {
		assert.ErrorContains(t, err, part)
	}
}

func TestOpenDoesNotShowThePassword(t *testing.T) {
	_, err := Open(t.Context(), "amqp://user:secret@exa mple/")
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
}

func TestOpenAgainFindsItsQueues(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	for range 3 {
		require.NoError(t, openQueue(t, url, prefix).Close())
	}
}

func TestOpenRefusesOtherArguments(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	admin(t, url, func(ch *amqp.Channel) {
		_, err := ch.QueueDeclare(prefix+".delay.1m", true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
		require.NoError(t, err)
	})
	_, err := Open(t.Context(), url, WithPrefix(prefix), WithLogger(quiet))
	require.ErrorIs(t, err, ErrTopology)
	assert.ErrorContains(t, err, prefix+".delay.1m")
	assert.ErrorContains(t, err, "x-") // which argument
}

func TestOpenReturnsWhatIsFinal(t *testing.T) {
	u, err := amqp.ParseURI(newURL(t))
	require.NoError(t, err)
	wrong := u
	wrong.Password = "wrong"
	_, err = Open(t.Context(), wrong.String(), WithLogger(quiet))
	assert.ErrorContains(t, err, "connect")
	assert.NoError(t, t.Context().Err())
	wrong = u
	wrong.Vhost = "no-such-host"
	_, err = Open(t.Context(), wrong.String(), WithLogger(quiet))
	assert.ErrorContains(t, err, "connect")
}

func TestOpenWaitsForTheBrokerUntilItsContextIsDone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, "amqp://guest:guest@127.0.0.1:1/", WithLogger(quiet))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "127.0.0.1:1")
}

func TestConsumersAreThoseThatReceive(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	only, a, b := openQueue(t, url, prefix), openQueue(t, url, prefix), openQueue(t, url, prefix)
	enqueue(t, only, messageTo("https://example.com/", "1"))
	settle(t, receive(t, a), delivered)
	count := func(q *Queue, want int) func() bool {
		return func() bool {
			n, err := q.Consumers(t.Context())
			return err == nil && n == want
		}
	}
	eventually(t, "one receives", count(a, 1))
	bounded, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	_, err := only.Consumers(bounded)
	assert.ErrorIs(t, err, context.DeadlineExceeded, "it isn't one of them")
	enqueue(t, only, messageTo("https://example.com/", "2"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := make(chan struct{})
	go func() {
		defer close(waiting)
		b.Receive(ctx)
	}()
	eventually(t, "two receive", count(a, 2))
	eventually(t, "both know it", count(b, 2))
	cancel()
	<-waiting
	require.NoError(t, b.Close())
	eventually(t, "one receives", count(a, 1))
	require.NoError(t, a.Healthy(t.Context()))
	require.NoError(t, only.Healthy(t.Context()))
	assert.ErrorIs(t, b.Healthy(t.Context()), ErrClosed)
}

// What can't be parsed goes to the dead letters with the reason, and what comes after it isn't kept up.
func TestUnparseableIsDead(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	admin(t, url, func(ch *amqp.Channel) {
		for _, headers := range []amqp.Table{{"url": "https://a/", "attempts": "many"}, {"other": "thing"}} {
			p := amqp.Publishing{Headers: headers, Body: []byte("x"), MessageId: "odd"}
			require.NoError(t, ch.PublishWithContext(t.Context(), "", q.ready(), true, false, p))
		}
	})
	enqueue(t, q, messageTo("https://example.com/", "good"))
	l := receive(t, q)
	assert.Equal(t, "good", l.Message().ID)
	settle(t, l, delivered)
	admin(t, url, func(ch *amqp.Channel) {
		reasons := map[string]bool{}
		eventually(t, "both are dead", func() bool {
			d, ok, err := ch.Get(q.dead(), true)
			require.NoError(t, err)
			if ok {
				assert.Equal(t, "x", string(d.Body))
				assert.Equal(t, "odd", d.MessageId)
				reasons[d.Headers["reason"].(string)[:10]] = true
			}
			return len(reasons) == 2
		})
	})
}

// Headers that just fit into a frame don't any more with the reason beside them.
func TestUnparseableWithLargeHeadersIsDead(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	admin(t, url, func(ch *amqp.Channel) {
		p := amqp.Publishing{Headers: amqp.Table{"large": strings.Repeat("x", 128<<10-100)}, Body: []byte("x"), MessageId: "odd"}
		require.NoError(t, ch.PublishWithContext(t.Context(), "", q.ready(), true, false, p))
	})
	enqueue(t, q, messageTo("https://example.com/", "good"))
	settle(t, receive(t, q), delivered)
	admin(t, url, func(ch *amqp.Channel) {
		eventually(t, "it is dead", func() bool {
			d, ok, err := ch.Get(q.dead(), true)
			require.NoError(t, err)
			return ok && d.MessageId == "odd" && d.Headers["reason"] != "" && string(d.Body) == "x"
		})
	})
}

func TestDeadLettersSayWhy(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	m := messageTo("https://example.com/", "1")
	m.Header = http.Header{"X-Mine": {"a", "b"}}
	enqueue(t, q, m)
	settle(t, receive(t, q), signpost.Outcome{
		State: signpost.Dead, Reason: signpost.ErrExhausted, Attempt: signpost.Attempt{Number: 1, StatusCode: 500},
	})
	admin(t, url, func(ch *amqp.Channel) {
		d, ok, err := ch.Get(q.dead(), true)
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, "500", d.Headers["last-status"])
		assert.Equal(t, signpost.ErrExhausted.Error(), d.Headers["reason"])
		got, _, err := parse(&d)
		require.NoError(t, err)
		assert.Equal(t, 1, got.Attempts)
		assert.Equal(t, m.Header, got.Header)
	})
}

// A message from elsewhere needs no ID. It gets one before anybody sees it, and keeps it.
func TestIDsAreGivenOnce(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	at := time.Unix(1700000000, 0)
	admin(t, url, func(ch *amqp.Channel) {
		for _, p := range []amqp.Publishing{{}, {MessageId: "theirs", Timestamp: at}} {
			p.Headers, p.Body = amqp.Table{"url": "https://example.com/"}, []byte("{}")
			require.NoError(t, ch.PublishWithContext(t.Context(), "", q.ready(), true, false, p))
		}
	})
	ids := map[string]time.Time{}
	for range 2 {
		m := receive(t, q).Message()
		ids[m.ID] = m.CreatedAt
		assert.False(t, m.CreatedAt.IsZero())
	}
	assert.True(t, at.Equal(ids["theirs"]))
	require.NoError(t, q.Close())
	q = openQueue(t, url, prefix)
	for range 2 {
		m := receive(t, q).Message()
		assert.True(t, m.CreatedAt.Equal(ids[m.ID]), "it comes under the same ID")
	}
}

// A message with a payload that the broker doesn't take is refused, and nothing else that is published beside it.
func TestTooLargeIsRefused(t *testing.T) {
	q := newQueue(t)
	var wg sync.WaitGroup
	large := messageTo("https://example.com/", "large")
	large.Payload = make([]byte, 4<<20+1)
	refused := make(chan error, 3)
	for i := range 50 {
		wg.Go(func() { enqueue(t, q, messageTo("https://example.com/", fmt.Sprint(i))) })
		if i%20 == 5 {
			wg.Go(func() { refused <- q.Enqueue(context.Background(), large) })
		}
	}
	wg.Wait()
	for range 3 {
		err := <-refused
		require.ErrorIs(t, err, ErrRefused)
		assert.ErrorContains(t, err, "4194305 bytes")
	}
	came := map[string]bool{}
	for len(came) < 50 {
		l := receive(t, q)
		came[l.Message().ID] = true
		settle(t, l, delivered)
	}
	assert.False(t, came["large"])

	fits := messageTo("https://example.com/", "fits")
	fits.Payload = make([]byte, 4<<20)
	enqueue(t, q, fits)
	heads := messageTo("https://example.com/", "heads")
	heads.Header = http.Header{"X-Long": {strings.Repeat("x", 200<<10)}}
	err := q.Enqueue(t.Context(), heads)
	require.ErrorIs(t, err, ErrRefused)
	assert.ErrorContains(t, err, "bytes of headers")
	heads.Header = http.Header{"X-Long": {strings.Repeat("x", 64<<10)}}
	enqueue(t, q, heads)
}

// A queue that somebody has deleted is declared again.
func TestUnroutable(t *testing.T) {
	url := newURL(t)
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	admin(t, url, func(ch *amqp.Channel) {
		_, err := ch.QueueDelete(q.ready(), false, false, false)
		require.NoError(t, err)
	})
	m := messageTo("https://example.com/", "1")
	err := q.Enqueue(t.Context(), m)
	require.ErrorIs(t, err, ErrUnroutable)
	assert.ErrorContains(t, err, q.ready())
	eventually(t, "it is declared again", func() bool { return q.Enqueue(t.Context(), m) == nil })
	settle(t, receive(t, q), delivered)
}

// A queue at the broker may be full: an operator's policy says so.
func TestRejectedIsRefused(t *testing.T) {
	url := newURL(t)
	if shared.server == nil {
		t.Skip("SIGNPOST_TEST_AMQP_URL names a broker whose policies aren't the test's to set; leave it out to have one started")
	}
	prefix := newPrefix(t, url)
	q := openQueue(t, url, prefix)
	_, err := shared.server.Ctl("set_policy", prefix, "^"+prefix+`\.ready$`, `{"max-length": 1}`, "--apply-to", "queues")
	require.NoError(t, err)
	defer func() {
		_, err := shared.server.Ctl("clear_policy", prefix)
		require.NoError(t, err)
	}()
	var refused error
	eventually(t, "it is full", func() bool {
		refused = q.Enqueue(t.Context(), messageTo("https://example.com/", "1"))
		return refused != nil
	})
	require.ErrorIs(t, refused, ErrRefused)
	assert.ErrorContains(t, refused, q.ready())
}

// A wait of 90 minutes, on a ladder whose steps are short: the message hops from step to step and is never early.
func TestLongWaitsHop(t *testing.T) {
	url := newURL(t)
	q := openQueue(t, url, newPrefix(t, url), internal(func(c *config) { c.steps = shortSteps }))
	enqueue(t, q, messageTo("https://example.com/", "1"))
	l := receive(t, q)
	before := q.copies.n.Load()
	at := time.Now().Add(90 * 50 * time.Millisecond)
	settle(t, l, signpost.Outcome{State: signpost.Retrying, RetryAt: at})
	l = receive(t, q)
	now := time.Now()
	assert.False(t, now.Before(at), "%v early", at.Sub(now))
	assert.Equal(t, 1, l.Message().Attempts)
	assert.GreaterOrEqual(t, q.copies.n.Load()-before, uint64(3), "it was published for the first step, and at least two more")
	settle(t, l, delivered)
}
