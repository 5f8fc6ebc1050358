package signpost_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func TestBadInput(t *testing.T) {
	d, err := signpost.New(signpost.WithSecret(whsec), quiet)
	require.NoError(t, err)
	defer d.Close()
	const fine = "https://example.com/hook"
	payload := func(p any) func() error {
		return func() error { _, err := d.Send(ctx, fine, p); return err }
	}
	to := func(url string) func() error {
		return func() error { _, err := d.Send(ctx, url, []byte(`{}`)); return err }
	}
	message := func(m signpost.Message) func() error {
		m.URL, m.Payload = fine, []byte(`{}`)
		return func() error { return d.Enqueue(ctx, &m) }
	}
	header := func(key, value string) func() error {
		return message(signpost.Message{Header: http.Header{key: {value}}})
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, c := range []struct {
		name string
		do   func() error
		says []string // what the error names
	}{
		{"relative URL", to("/hook"), []string{`"/hook"`, "https://"}},
		{"no scheme", to("example.com/hook"), []string{"example.com/hook", "https://"}},
		{"empty URL", to(""), []string{`""`, "https://"}},
		{"ftp", to("ftp://example.com/"), []string{"ftp://example.com/", "https://"}},
		{"opaque", to("http:example.com"), []string{"http:example.com", "https://"}},
		{"empty host", to("http:///hook"), []string{"http:///hook", "no host"}},
		{"only a port", to("http://:80/"), []string{"http://:80/", "no host"}},
		{"no IDN", to("http://a\u200d.example/"), []string{`a\u200d.example`, "internationalized"}},
		{"no UTF-8", to("http://\xff.example/"), []string{`\xff`, "internationalized"}},
		{"only a dot", to("http://./"), []string{"http://./", "no host"}},
		{"port 0", to("http://example.com:0/"), []string{`"0"`, "65535"}},
		{"port 65536", to("http://example.com:65536/"), []string{`"65536"`, "65535"}},
		{"userinfo", to("https://user:geheim@example.com/"), []string{"example.com", "Authorization"}},
		{"control character", to("https://example.com/\x01"), []string{`\x01`, "control"}},
		{"CR LF", to("https://example.com/\r\nX-Evil: 1"), []string{`\r\n`, "control"}},
		{"a space", to("https://example.com/a b"), []string{"a b", "escape"}},
		{"bad escape", to("https://example.com/%zz"), []string{"%zz", "not a URL"}},
		{"a host that is none", to("https://exa$mple.com/"), []string{"exa$mple.com"}},
		{"a password with a slash", to("https://user:geh/eim@example.com/"), []string{"REDACTED@example.com"}},
		{"a password with a question mark", to("https://user:geheim?@example.com/"), []string{"REDACTED@example.com"}},
		{"a password behind one slash", to("https:/user:geheim@example.com/"), []string{"REDACTED@example.com"}},
		{"a password without a scheme", to("user:geheim@example.com/"), []string{"REDACTED@example.com"}},
		{"a URL of 9,000 bytes", to("https://example.com/" + strings.Repeat("x", 9000)), []string{"9020 bytes", "8192"}},
		{"half an IPv6 address", to("https://[::1/"), []string{"[::1", "not a URL"}},

		{"header name with a space", header("X Y", "1"), []string{`"X Y"`, "token"}},
		{"header name with CR LF", header("X\r\nY", "1"), []string{`"X\r\nY"`, "token"}},
		{"empty header name", header("", "1"), []string{`""`, "token"}},
		{"header value with CR LF", header("X-A", "1\r\nX-B: 2"), []string{"X-A", "control"}},
		{"header value with NUL", header("X-A", "\x00"), []string{"X-A", "control"}},
		{"headers of 65 KiB", header("X-A", strings.Repeat("x", 65<<10)), []string{"X-A", "65536"}},
		{"two spellings of a header", message(signpost.Message{Header: http.Header{"x-a": {"1"}, "X-A": {"2"}}}), []string{"X-A", "spelling"}},
		{"Host", header("host", "evil.example"), []string{"host", "URL"}},
		{"Content-Length", header("Content-Length", "1"), []string{"Content-Length", "length"}},
		{"Transfer-Encoding", header("Transfer-Encoding", "chunked"), []string{"hop-by-hop"}},
		{"Connection", header("connection", "close"), []string{"hop-by-hop"}},
		{"signature", header("webhook-signature", "v1,x"), []string{"webhook-signature", "signature"}},
		{"webhook-id", header("webhook-id", "x"), []string{"webhook-id", "ID field"}},

		{"ID with a dot", message(signpost.Message{ID: "a.b"}), []string{`"a.b"`, "dot"}},
		{"ID with a newline", message(signpost.Message{ID: "a\nb"}), []string{`"a\nb"`, "printable"}},
		{"ID beyond ASCII", message(signpost.Message{ID: "ä"}), []string{`"ä"`, "printable"}},
		{"ID of 300 characters", message(signpost.Message{ID: strings.Repeat("x", 300)}), []string{"300", "255"}},
		{"negative attempts", message(signpost.Message{Attempts: -1}), []string{"-1"}},

		{"payload that is not JSON", payload([]byte("hello")), []string{`"hello"`, "JSON"}},
		{"two documents", payload([]byte(`{}{}`)), []string{"JSON"}},
		{"empty payload", payload([]byte{}), []string{"empty"}},
		{"nil bytes", payload([]byte(nil)), []string{"empty"}},
		{"empty RawMessage", payload(json.RawMessage{}), []string{"empty"}},
		{"nil", payload(nil), []string{"nil"}},
		{"a channel", payload(make(chan int)), []string{"chan int"}},
		{"NaN", payload(math.NaN()), []string{"NaN"}},
		{"1 MiB + 1 byte", payload([]byte(`"` + strings.Repeat("x", 1<<20-1) + `"`)), []string{"1048577", "1048576", "WithMaxPayload"}},

		{"nil message", func() error { return d.Enqueue(ctx, nil) }, []string{"nil"}},
		{"nil context", func() error { var none context.Context; _, err := d.Send(none, fine, 1); return err }, []string{"context nil", "Background"}},
		{"nil context of Shutdown", func() error { var none context.Context; return d.Shutdown(none) }, []string{"context nil"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			require.ErrorIs(t, err, signpost.ErrInvalid)
			for _, s := range c.says {
				assert.ErrorContains(t, err, s)
			}
			assert.NotContains(t, err.Error(), "geheim")
			assert.True(t, strings.HasPrefix(err.Error(), "signpost: "), err)
			assert.Zero(t, d.Stats(), "nothing is queued")
		})
	}
	t.Run("cancelled context", func(t *testing.T) {
		_, err := d.Send(cancelled, fine, 1)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, d.Stats())
	})
	t.Run("after Shutdown", func(t *testing.T) {
		require.NoError(t, d.Shutdown(ctx))
		_, err := d.Send(ctx, fine, 1)
		assert.ErrorIs(t, err, signpost.ErrClosed)
		assert.ErrorIs(t, d.Enqueue(ctx, &signpost.Message{URL: fine, Payload: []byte(`1`)}), signpost.ErrClosed)
		assert.Zero(t, d.Stats())
	})
}

func TestGoodInput(t *testing.T) {
	d, err := signpost.New(signpost.WithSecret(whsec), quiet, signpost.WithWorkers(0))
	require.NoError(t, err)
	defer d.Close()
	for _, u := range []string{
		"http://example.com", "HTTPS://EXAMPLE.com:8443/a?b=c#d", "http://127.0.0.1/", "http://[::1]:80/", "http://münchen.example/ü",
		"http://MÜNCHEN.example.:80/", "http://mu\u0308nchen.example/", "http://xn--mnchen-3ya.example/", "http://a_b.example./", "http://１２７.0.0.1/",
		"http://0x7f000001/",
	} {
		_, err := d.Send(ctx, u, 1)
		assert.NoError(t, err, u)
	}
	for _, id := range []string{"a", strings.Repeat("x", 255), "!~"} {
		m := &signpost.Message{ID: id, URL: "http://example.com/", Payload: []byte(` [1, "a"] `), Header: http.Header{"x-a": {"1", "2"}}}
		assert.NoError(t, d.Enqueue(ctx, m))
		assert.False(t, m.CreatedAt.IsZero())
	}
	m := &signpost.Message{URL: "http://example.com/", Payload: []byte(`1`)}
	require.NoError(t, d.Enqueue(ctx, m))
	assert.Regexp(t, `^msg_[A-Za-z0-9_-]{22}$`, m.ID)
	_, err = d.Send(ctx, "http://example.com/", `"`+strings.Repeat("x", 1<<20-6)+`"`)
	assert.NoError(t, err, "a string is marshalled: 1 MiB in all")
	hosts := map[string]int{}
	for _, h := range d.Hosts() {
		hosts[h.Host] = h.Queued
	}
	assert.Equal(t, map[string]int{
		"example.com:80": 6, "example.com:8443": 1, "127.0.0.1:80": 2, "[::1]:80": 1, "xn--mnchen-3ya.example:80": 4,
		"a_b.example:80": 1, "0x7f000001:80": 1,
	}, hosts)
}

func TestBadOptions(t *testing.T) {
	signed := signpost.WithSecret(whsec)
	for _, c := range []struct {
		name string
		opts []signpost.Option
		says []string
	}{
		{"no signer", nil, []string{"WithSecret", "WithSigner", "WithoutSigning"}},
		{"two ways to sign", []signpost.Option{signed, signpost.WithoutSigning()}, []string{"WithoutSigning", "WithSecret", "exclude"}},
		{"no secret", []signpost.Option{signpost.WithSecret()}, []string{"NewSecret"}},
		{"secret of 8 bytes", []signpost.Option{signpost.WithSecret("whsec_AAAAAAAAAAA=")}, []string{"8 bytes", "24"}},
		{"secret of 65 bytes", []signpost.Option{signpost.WithSecret("whsec_" + strings.Repeat("AAAA", 21) + "AAA=")}, []string{"65 bytes", "64"}},
		{"broken base64", []signpost.Option{signpost.WithSecret("whsec_!!!!")}, []string{"base64"}},
		{"no prefix", []signpost.Option{signpost.WithSecret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}, []string{"whsec_"}},
		{"second secret", []signpost.Option{signed, signpost.WithSecret("x")}, []string{"secret 2"}},
		{"nil signer", []signpost.Option{signpost.WithSigner(nil)}, []string{"signer nil"}},
		{"bad signer inside", []signpost.Option{signpost.WithSigner(signpost.Signers(signpost.HMACSigner("X Y", "", nil)))}, []string{`"X Y"`, "empty"}},
		{"nil option", []signpost.Option{signed, nil}, []string{"option 2"}},
		{"negative workers", []signpost.Option{signed, signpost.WithWorkers(-1)}, []string{"WithWorkers(-1)", "0"}},
		{"absurd workers", []signpost.Option{signed, signpost.WithWorkers(math.MaxInt)}, []string{"WithWorkers", "100000"}},
		{"no queue", []signpost.Option{signed, signpost.WithQueueSize(0)}, []string{"WithQueueSize(0)"}},
		{"negative bytes", []signpost.Option{signed, signpost.WithQueueBytes(-1)}, []string{"WithQueueBytes(-1)"}},
		{"fewer bytes than a payload", []signpost.Option{signed, signpost.WithQueueBytes(10)}, []string{"WithQueueBytes(10)", "WithMaxPayload(1048576)"}},
		{"negative payload", []signpost.Option{signed, signpost.WithMaxPayload(-1)}, []string{"WithMaxPayload(-1)"}},
		{"no concurrency", []signpost.Option{signed, signpost.WithHostConcurrency(0)}, []string{"WithHostConcurrency(0)"}},
		{"no time", []signpost.Option{signed, signpost.WithTimeout(0)}, []string{"WithTimeout(0s)", "1ms"}},
		{"negative time", []signpost.Option{signed, signpost.WithTimeout(-time.Second)}, []string{"WithTimeout(-1s)"}},
		{"a day", []signpost.Option{signed, signpost.WithTimeout(24 * time.Hour)}, []string{"24h0m0s", "1h0m0s"}},
		{"no rate", []signpost.Option{signed, signpost.WithRateLimit(0, 1)}, []string{"WithRateLimit(0, 1)", "rate.Inf"}},
		{"negative rate", []signpost.Option{signed, signpost.WithRateLimit(-1, 1)}, []string{"WithRateLimit(-1, 1)"}},
		{"NaN", []signpost.Option{signed, signpost.WithRateLimit(rate.Limit(math.NaN()), 1)}, []string{"WithRateLimit(NaN, 1)"}},
		{"no burst", []signpost.Option{signed, signpost.WithRateLimit(1, 0)}, []string{"WithRateLimit(1, 0)"}},
		{"negative attempts", []signpost.Option{signed, signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: -1, MaxAge: -1, MaxRetryAfter: -1})}, []string{"MaxAttempts -1", "MaxAge -1ns", "MaxRetryAfter -1ns"}},
		{"no backoff", []signpost.Option{signed, signpost.WithRetryPolicy(signpost.RetryPolicy{BackOff: func() backoff.BackOff { return nil }})}, []string{"BackOff"}},
		{"bad header", []signpost.Option{signed, signpost.WithHeader("X\n", "1"), signpost.WithHeader("Host", "x")}, []string{`"X\n"`, "Host"}},
		{"bad user agent", []signpost.Option{signed, signpost.WithUserAgent("a\r\nb")}, []string{`"a\r\nb"`}},
		{"empty user agent", []signpost.Option{signed, signpost.WithUserAgent("")}, []string{"WithUserAgent"}},
		{"nil TLS config", []signpost.Option{signed, signpost.WithTLSConfig(nil)}, []string{"WithTLSConfig(nil)"}},
		{"nil transport", []signpost.Option{signed, signpost.WithTransport(nil)}, []string{"WithTransport(nil)"}},
		{"transport that is nil", []signpost.Option{signed, signpost.WithTransport(func(http.RoundTripper) http.RoundTripper { return nil })}, []string{"WithTransport", "returned nil"}},
		{"nil proxy", []signpost.Option{signed, signpost.WithProxy(nil)}, []string{"WithProxy(nil)"}},
		{"ftp proxy", []signpost.Option{signed, signpost.WithProxy(&url.URL{Scheme: "ftp", Host: "p", User: url.UserPassword("u", "geheim")})}, []string{"ftp://", "socks5"}},
		{"bad network", []signpost.Option{signed, signpost.WithAllowedNetworks("10.0.0.0/33"), signpost.WithDeniedNetworks("localhost")}, []string{"10.0.0.0/33", "localhost", "WithAllowedNetworks", "WithDeniedNetworks"}},
		{"nil observer", []signpost.Option{signed, signpost.WithObserver(nil)}, []string{"WithObserver(nil)"}},
		{"nil logger", []signpost.Option{signed, signpost.WithLogger(nil)}, []string{"WithLogger(nil)", "DiscardHandler"}},
		{"nil queue", []signpost.Option{signed, signpost.WithQueue(nil)}, []string{"WithQueue(nil)"}},
		{"nil endpoints", []signpost.Option{signed, signpost.WithEndpoints(nil)}, []string{"WithEndpoints(nil)"}},
		{"all problems at once", []signpost.Option{signpost.WithWorkers(-1), signpost.WithQueueSize(-2), signpost.WithTimeout(-3)}, []string{"WithSecret", "WithWorkers(-1)", "WithQueueSize(-2)", "WithTimeout(-3ns)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := signpost.New(c.opts...)
			require.Nil(t, d)
			require.ErrorIs(t, err, signpost.ErrInvalid)
			for _, s := range c.says {
				assert.ErrorContains(t, err, s)
			}
			assert.NotContains(t, err.Error(), "geheim")
		})
	}
}

func TestSenderRefusesWhatOnlyADispatcherCanUse(t *testing.T) {
	_, err := signpost.NewSender(signpost.WithSecret(whsec), signpost.WithWorkers(3), signpost.WithRateLimit(1, 1), signpost.WithLogger(slog.Default()))
	require.ErrorIs(t, err, signpost.ErrInvalid)
	for _, name := range []string{"WithWorkers", "WithRateLimit", "WithLogger"} {
		assert.ErrorContains(t, err, name)
	}
	_, err = signpost.NewSender(signpost.WithSecret(whsec), signpost.WithTimeout(time.Second), signpost.WithTLSConfig(&tls.Config{}))
	assert.NoError(t, err)
}
