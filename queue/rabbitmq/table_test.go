package rabbitmq

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/wire"
)

func TestTableKeepsHeaders(t *testing.T) {
	m := &signpost.Message{
		ID: "msg_1", URL: "https://example.com/\xff", Payload: []byte("{}"), Attempts: 3, CreatedAt: time.Unix(1700000000, 123456789),
		Header: http.Header{"X-One": {"1"}, "X-Two": {"b", "", "\xfe\t"}, "x-two": {"other"}, "Id": {"mine"}},
	}
	p, err := publishing(m, wire.Encode(m, time.Unix(1800000000, 0)), "copy")
	require.NoError(t, err)
	require.NoError(t, p.Headers.Validate())
	got, notBefore, err := parse(&amqp.Delivery{Headers: p.Headers, Body: p.Body, MessageId: p.MessageId})
	require.NoError(t, err)
	assert.True(t, m.CreatedAt.Equal(got.CreatedAt))
	got.CreatedAt = m.CreatedAt
	assert.Equal(t, m, got)
	assert.True(t, notBefore.Equal(time.Unix(1800000000, 0)))
	assert.Equal(t, "copy", copyOf(p.Headers))
}

// Client libraries of other languages write numbers, times and bytes as such, and have properties for some headers.
func TestParseTakesWhatOthersSend(t *testing.T) {
	at := time.Unix(1700000000, 0).UTC()
	m, notBefore, err := parse(&amqp.Delivery{
		MessageId: "order-1", Timestamp: at, Body: []byte("{}"),
		Headers: amqp.Table{
			"url": []byte("https://example.com/"), "attempts": int32(2), "not-before": at, "traceparent": "00-1",
			"x-death": []any{amqp.Table{}},
		},
	})
	require.NoError(t, err)
	assert.True(t, at.Equal(notBefore))
	want := &signpost.Message{ID: "order-1", URL: "https://example.com/", Payload: []byte("{}"), CreatedAt: at, Attempts: 2}
	assert.Equal(t, want, m)

	for name, table := range map[string]amqp.Table{
		"no url": {}, "attempts": {"url": "https://a/", "attempts": "many"}, "url twice": {"url": []any{"https://a/", "https://b/"}},
		"time": {"url": "https://a/", "created-at": "yesterday"},
	} {
		_, _, err := parse(&amqp.Delivery{Headers: table})
		assert.Error(t, err, name)
	}
}

func TestBuriedIsAsItWas(t *testing.T) {
	d := &amqp.Delivery{
		Headers: amqp.Table{
			"attempts": "many", "n": int64(7), "CC": []any{"elsewhere"}, "x-death": []any{amqp.Table{"count": int64(1)}},
		},
		Body: []byte("body"), MessageId: "id", CorrelationId: "c", ContentType: "text/plain", UserId: "somebody", Expiration: "1000",
	}
	p := buried(d, errors.New("bad"), time.Unix(1700000000, 0), "copy")
	want := amqp.Table{"attempts": "many", "n": int64(7), "reason": "bad", "died-at": "2023-11-14T22:13:20Z", copyHeader: "copy"}
	assert.Equal(t, want, p.Headers)
	assert.Equal(t, "body", string(p.Body))
	assert.Equal(t, "id c text/plain", strings.Join([]string{p.MessageId, p.CorrelationId, p.ContentType}, " "))
	assert.Empty(t, p.UserId+p.Expiration, "the broker would refuse it, or drop it")
}

// An estimate that is too small would have the broker end the connection.
func TestHeadSizeIsEnough(t *testing.T) {
	m := &signpost.Message{ID: strings.Repeat("i", 255), URL: "https://a/" + strings.Repeat("u", 5000), CreatedAt: time.Now(),
		Header: http.Header{"X-Many": {"", "b", strings.Repeat("c", 3000)}, strings.Repeat("n", 200): {""}}}
	p, err := publishing(m, wire.Encode(m, time.Now()), "copy")
	require.NoError(t, err)
	n := 0
	for name, value := range p.Headers {
		n += 1 + len(name)
		for _, v := range append([]any{}, value) {
			if list, ok := v.([]any); ok {
				n += 5
				for _, e := range list {
					n += 5 + len(e.(string))
				}
			} else {
				n += 5 + len(v.(string))
			}
		}
	}
	assert.Greater(t, headSize(&p), n+len(m.ID))
}

func TestNamesThatAreTooLong(t *testing.T) {
	for _, m := range []*signpost.Message{
		{ID: strings.Repeat("i", 256), URL: "https://a/"}, {ID: "a", Header: http.Header{strings.Repeat("X", 256): {"1"}}},
	} {
		_, err := publishing(m, wire.Encode(m, time.Time{}), "copy")
		assert.ErrorIs(t, err, ErrRefused)
	}
}

// Whatever a table has, it is parsed or not; a message that is parsed survives being published and parsed again.
func FuzzTable(f *testing.F) {
	f.Add("url", "https://example.com/", "header-X", "1", int64(5), []byte("{}"))
	f.Add("not-before", "2026-01-01T00:00:00Z", "attempts", "7", int64(0), []byte(nil))
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, number int64, body []byte) {
		list := []any{value2, number, nil, []byte(value1)}
		table := amqp.Table{"url": "https://example.com/", name1: value1, name2: list, "attempts": number}
		d := &amqp.Delivery{Headers: table, Body: body, MessageId: "id"}
		m, notBefore, err := parse(d)
		dead := buried(d, errors.New("why"), time.Now(), "copy")
		if err := dead.Headers.Validate(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		p, err := publishing(m, wire.Encode(m, notBefore), "copy")
		if err != nil {
			return // too long
		}
		again, at, err := parse(&amqp.Delivery{Headers: p.Headers, Body: p.Body, MessageId: p.MessageId})
		if err != nil || !at.Equal(notBefore) || again.URL != m.URL || again.ID != m.ID || !bytes.Equal(again.Payload, m.Payload) ||
			again.Attempts != m.Attempts || !again.CreatedAt.Equal(m.CreatedAt) || len(again.Header) != len(m.Header) {
			t.Fatalf("%+v became %+v: %v", m, again, err)
		}
		for name := range m.Header {
			if strings.Join(m.Header[name], "\x00") != strings.Join(again.Header[name], "\x00") {
				t.Fatalf("header %q: %q became %q", name, m.Header[name], again.Header[name])
			}
		}
	})
}
