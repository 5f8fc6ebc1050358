package signpost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

const whsk = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="

// The vectors of Standard Webhooks.
var vectors = []struct {
	name, key, id string
	timestamp     int64
	body          string
	signature     string
}{
	{"v1", whsec, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	{"v1, 24 bytes", other, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553, `{"email":"test@example.com","username":"test_user"}`, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="},
	{"v1a", whsk, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="},
}

func signingKey(t *testing.T, s string) signpost.Key {
	t.Helper()
	if strings.HasPrefix(s, "whsk_") {
		k, err := signpost.ParsePrivateKey(s)
		require.NoError(t, err)
		return k
	}
	k, err := signpost.ParseSecret(s)
	require.NoError(t, err)
	return k
}

func verificationKey(t *testing.T, s string) signpost.VerificationKey {
	t.Helper()
	switch k := signingKey(t, s).(type) {
	case signpost.PrivateKey:
		public, err := signpost.ParsePublicKey(k.Public().String())
		require.NoError(t, err)
		return public
	case signpost.Secret:
		return k
	}
	return nil
}

func signed(t *testing.T, s signpost.Signer, m *signpost.Message, at time.Time) http.Header {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	require.NoError(t, s.Sign(req, m, at))
	return req.Header
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(time.Unix(v.timestamp, 0)))
				s, err := signpost.NewSigner(signingKey(t, v.key))
				require.NoError(t, err)
				h := signed(t, s, &signpost.Message{ID: v.id, Payload: []byte(v.body)}, time.Now())
				assert.Equal(t, v.id, h.Get("webhook-id"))
				assert.Equal(t, strconv.FormatInt(v.timestamp, 10), h.Get("webhook-timestamp"))
				assert.Equal(t, v.signature, h.Get("webhook-signature"))

				verifier, err := signpost.NewVerifier(verificationKey(t, v.key))
				require.NoError(t, err)
				assert.NoError(t, verifier.Verify(h, []byte(v.body)))
				assert.ErrorIs(t, verifier.Verify(h, []byte(v.body+" ")), signpost.ErrSignature)

				direct, err := signingKey(t, v.key).Sign(ctx, fmt.Appendf(nil, "%s.%d.%s", v.id, v.timestamp, v.body))
				require.NoError(t, err)
				assert.Equal(t, v.signature, direct)
			})
		})
	}
}

func TestRotation(t *testing.T) {
	s, err := signpost.NewSigner(signingKey(t, whsec), signingKey(t, other), signingKey(t, whsk))
	require.NoError(t, err)
	m := &signpost.Message{ID: "id", Payload: []byte(`{}`)}
	h := signed(t, s, m, time.Now())
	assert.Len(t, strings.Fields(h.Get("webhook-signature")), 3)
	for _, key := range []string{whsec, other, whsk} {
		v, err := signpost.NewVerifier(signpost.NewSecret(), verificationKey(t, key))
		require.NoError(t, err)
		assert.NoError(t, v.Verify(h, m.Payload), "who holds only one key of each side's")
	}
	v, err := signpost.NewVerifier(signpost.NewSecret(), signpost.NewPrivateKey().Public())
	require.NoError(t, err)
	assert.ErrorIs(t, v.Verify(h, m.Payload), signpost.ErrSignature)
}

func TestVerify(t *testing.T) {
	secret := signingKey(t, whsec).(signpost.Secret)
	s, err := signpost.NewSigner(secret)
	require.NoError(t, err)
	v, err := signpost.NewVerifier(secret)
	require.NoError(t, err)
	m := &signpost.Message{ID: "id", Payload: []byte(`{"a":1}`)}
	for _, c := range []struct {
		name   string
		change func(http.Header)
		at     time.Duration
		want   error
	}{
		{"as it was signed", func(http.Header) {}, 0, nil},
		{"several header lines", func(h http.Header) {
			h["Webhook-Signature"] = []string{"v1,AAAA", h.Get("webhook-signature")}
		}, 0, nil},
		{"unknown versions beside", func(h http.Header) {
			h.Set("webhook-signature", "v9,xyz junk v1a,AAAA "+h.Get("webhook-signature"))
		}, 0, nil},
		{"only an unknown version", func(h http.Header) {
			h.Set("webhook-signature", strings.Replace(h.Get("webhook-signature"), "v1", "v2", 1))
		}, 0, signpost.ErrSignature},
		{"no signature", func(h http.Header) { h.Del("webhook-signature") }, 0, signpost.ErrSignature},
		{"an empty one", func(h http.Header) { h.Set("webhook-signature", "v1,") }, 0, signpost.ErrSignature},
		{"without its padding", func(h http.Header) { h.Set("webhook-signature", strings.TrimRight(h.Get("webhook-signature"), "=")) }, 0, signpost.ErrSignature},
		{"a thousand signatures", func(h http.Header) {
			h.Set("webhook-signature", strings.Repeat("v1,x ", 1000)+h.Get("webhook-signature"))
		}, 0, signpost.ErrSignature},
		{"no ID", func(h http.Header) { h.Del("webhook-id") }, 0, signpost.ErrSignature},
		{"another ID", func(h http.Header) { h.Set("webhook-id", "other") }, 0, signpost.ErrSignature},
		{"an ID with a dot", func(h http.Header) { h.Set("webhook-id", "i.d") }, 0, signpost.ErrSignature},
		{"two IDs", func(h http.Header) { h.Add("webhook-id", "id") }, 0, signpost.ErrSignature},
		{"no timestamp", func(h http.Header) { h.Del("webhook-timestamp") }, 0, signpost.ErrTimestamp},
		{"garbage for a timestamp", func(h http.Header) { h.Set("webhook-timestamp", "now") }, 0, signpost.ErrTimestamp},
		{"a sign before it", func(h http.Header) { h.Set("webhook-timestamp", "+"+h.Get("webhook-timestamp")) }, 0, signpost.ErrTimestamp},
		{"another timestamp", func(h http.Header) { h.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix()-7, 10)) }, 0, signpost.ErrSignature},
		{"a timestamp beyond time", func(h http.Header) { h.Set("webhook-timestamp", "9223372036854775807") }, 0, signpost.ErrTimestamp},
		{"4 minutes old", func(http.Header) {}, -4 * time.Minute, nil},
		{"6 minutes old", func(http.Header) {}, -6 * time.Minute, signpost.ErrTimestamp},
		{"6 minutes ahead", func(http.Header) {}, 6 * time.Minute, signpost.ErrTimestamp},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := signed(t, s, m, time.Now().Add(c.at))
			c.change(h)
			if c.want == nil {
				assert.NoError(t, v.Verify(h, m.Payload))
			} else {
				assert.ErrorIs(t, v.Verify(h, m.Payload), c.want)
			}
		})
	}
	t.Run("another tolerance", func(t *testing.T) {
		strict, err := signpost.NewVerifier(secret)
		require.NoError(t, err)
		strict.Tolerance = time.Minute
		assert.ErrorIs(t, strict.Verify(signed(t, s, m, time.Now().Add(-2*time.Minute)), m.Payload), signpost.ErrTimestamp)
	})
}

func TestVerifierHandler(t *testing.T) {
	secret := signpost.NewSecret()
	s, err := signpost.NewSigner(secret)
	require.NoError(t, err)
	v, err := signpost.NewVerifier(secret)
	require.NoError(t, err)
	v.MaxBody = 100
	var got []byte
	called := 0
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called++
		got, _ = io.ReadAll(r.Body)
		assert.EqualValues(t, len(got), r.ContentLength)
		w.WriteHeader(http.StatusAccepted)
	}))
	post := func(body []byte, change func(*http.Request)) int {
		req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		require.NoError(t, s.Sign(req, &signpost.Message{ID: "id", Payload: body}, time.Now()))
		change(req)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Code
	}
	as := func(*http.Request) {}
	assert.Equal(t, http.StatusAccepted, post([]byte(`{"a":1}`), as))
	assert.Equal(t, `{"a":1}`, string(got), "the body is there to be read again")
	assert.Equal(t, http.StatusUnauthorized, post([]byte(`{}`), func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`[]`)) }))
	assert.Equal(t, http.StatusUnauthorized, post([]byte(`{}`), func(r *http.Request) { r.Header.Del("webhook-id") }))
	assert.Equal(t, http.StatusRequestEntityTooLarge, post(make([]byte, 101), as))
	assert.Equal(t, http.StatusBadRequest, post([]byte(`{}`), func(r *http.Request) { r.Body = io.NopCloser(brokenReader{}) }))
	assert.Equal(t, 1, called)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestPrefixedSigner(t *testing.T) {
	for _, v := range vectors {
		m := &signpost.Message{ID: v.id, Payload: []byte(v.body)}
		for prefix, name := range map[string]string{"svix-": "Svix-", "X-Shop-": "X-Shop-", "acme_": "Acme_", "webhook-": "Webhook-"} {
			s, err := signpost.NewPrefixedSigner(prefix, signingKey(t, v.key))
			require.NoError(t, err)
			assert.Equal(t, http.Header{
				http.CanonicalHeaderKey(name + "Id"):        {v.id},
				http.CanonicalHeaderKey(name + "Timestamp"): {strconv.FormatInt(v.timestamp, 10)},
				http.CanonicalHeaderKey(name + "Signature"): {v.signature},
			}, signed(t, s, m, time.Unix(v.timestamp, 0)))
		}
	}
	for _, prefix := range []string{"", "svix:", "svix ", "sv\nix-"} {
		_, err := signpost.NewPrefixedSigner(prefix, signpost.NewSecret())
		assert.ErrorIs(t, err, signpost.ErrInvalid, prefix)
	}
	_, err := signpost.NewPrefixedSigner("svix-")
	assert.ErrorIs(t, err, signpost.ErrInvalid)
}

func TestSignersFailClosed(t *testing.T) {
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	m := &signpost.Message{ID: "id", Payload: []byte(`{}`)}
	mac := signpost.HexHMAC([]byte("x"), signpost.Body)
	clock := signpost.HeaderSigner("T", signpost.UnixTime)
	for name, s := range map[string]signpost.Signer{
		"no signers":       signpost.Signers(),
		"a nil signer":     signpost.Signers(nil),
		"empty secret":     signpost.HMACSigner("X-Signature", "", nil),
		"bad header":       signpost.HMACSigner("X\n", "", []byte("x")),
		"bad prefix":       signpost.HMACSigner("X", "\n", []byte("x")),
		"reserved header":  signpost.TimestampSigner("Content-Length", []byte("x")),
		"no secrets":       signpost.TimestampSigner("X"),
		"one secret empty": signpost.TimestampSigner("X", []byte("x"), nil),

		"no parts":                   signpost.HeaderSigner("X"),
		"a nil part":                 signpost.HeaderSigner("X", nil, mac),
		"nothing signed":             signpost.HeaderSigner("X", signpost.HexHMAC([]byte("x"))),
		"the body not signed":        signpost.HeaderSigner("X", signpost.HexHMAC([]byte("x"), signpost.UnixTime)),
		"a nil part signed":          signpost.HeaderSigner("X", signpost.HexHMAC([]byte("x"), signpost.Body, nil)),
		"one of two secrets empty":   signpost.HeaderSigner("X", mac, signpost.HexHMAC(nil, signpost.Body)),
		"the body in a header":       signpost.HeaderSigner("X", mac, signpost.Body),
		"text for no header":         signpost.HeaderSigner("X", mac, signpost.Text("\r\nX: y")),
		"no signature":               clock,
		"no signature in any header": signpost.Signers(clock, signpost.HeaderSigner("Y", signpost.MessageID)),
		"a bad header beside":        signpost.Signers(signpost.HeaderSigner("X", mac), signpost.HeaderSigner("Y\n", mac)),
		"no secrets beside":          signpost.Signers(signpost.HeaderSigner("X", mac), signpost.TimestampSigner("Y")),
		"a nil signer beside":        signpost.Signers(signpost.HeaderSigner("X", mac), nil),
	} {
		assert.ErrorIs(t, s.Sign(req, m, time.Now()), signpost.ErrInvalid, name)
		_, err := signpost.NewSender(signpost.WithSigner(s))
		assert.ErrorIs(t, err, signpost.ErrInvalid, "%s: found before anything is sent", name)
	}
	for name, keys := range map[string][]signpost.Key{
		"no keys": nil, "nil": {nil}, "zero secret": {signpost.Secret{}}, "zero private key": {signpost.NewSecret(), signpost.PrivateKey{}},
	} {
		_, err := signpost.NewSigner(keys...)
		assert.ErrorIs(t, err, signpost.ErrInvalid, name)
	}
	for name, keys := range map[string][]signpost.VerificationKey{
		"no keys": nil, "nil": {nil}, "zero secret": {signpost.Secret{}}, "zero public key": {signpost.PublicKey{}},
	} {
		_, err := signpost.NewVerifier(keys...)
		assert.ErrorIs(t, err, signpost.ErrInvalid, name)
	}
	_, err := signpost.Secret{}.Sign(ctx, nil)
	assert.ErrorIs(t, err, signpost.ErrInvalid)
	_, err = signpost.PrivateKey{}.Sign(ctx, nil)
	assert.ErrorIs(t, err, signpost.ErrInvalid)
	assert.Empty(t, signpost.Secret{}.Reveal()+signpost.PrivateKey{}.Reveal()+signpost.PrivateKey{}.Public().String())
}

type kms struct{ err error }

func (k kms) Sign(_ context.Context, content []byte) (string, error) {
	return "v1," + strconv.Itoa(len(content)), k.err
}

func TestKeyOfOnesOwn(t *testing.T) {
	s, err := signpost.NewSigner(kms{}, signpost.NewSecret())
	require.NoError(t, err)
	h := signed(t, s, &signpost.Message{ID: "id", Payload: []byte(`{}`)}, time.Unix(1, 0))
	assert.True(t, strings.HasPrefix(h.Get("webhook-signature"), "v1,7 v1,"), "id.1.{} has 7 bytes")
	s, err = signpost.NewSigner(kms{errors.New("away")})
	require.NoError(t, err)
	err = s.Sign(httptest.NewRequest(http.MethodPost, "/", nil), &signpost.Message{ID: "id"}, time.Now())
	assert.ErrorContains(t, err, "away")
}

func TestKeysAsText(t *testing.T) {
	for _, text := range []string{whsec, other} {
		s, err := signpost.ParseSecret(text)
		require.NoError(t, err)
		assert.Equal(t, text, s.Reveal())
	}
	k, err := signpost.ParsePrivateKey(whsk)
	require.NoError(t, err)
	assert.Equal(t, whsk, k.Reveal())
	for range 3 {
		k := signpost.NewPrivateKey()
		again, err := signpost.ParsePrivateKey(k.Reveal())
		require.NoError(t, err)
		assert.Equal(t, k.Public(), again.Public())
		s := signpost.NewSecret()
		same, err := signpost.ParseSecret(s.Reveal())
		require.NoError(t, err)
		assert.Equal(t, s.Reveal(), same.Reveal())
	}
	for name, bad := range map[string]string{
		"empty": "", "prefix only": "whsk_", "wrong prefix": whsec, "half": "whsk_AAAA",
		"halves that don't match": whsk[:len(whsk)-8] + "AAAAAA==",
	} {
		_, err := signpost.ParsePrivateKey(bad)
		assert.ErrorIs(t, err, signpost.ErrInvalid, name)
		_, err = signpost.ParsePublicKey(bad)
		assert.ErrorIs(t, err, signpost.ErrInvalid, name)
		if len(bad) > 10 {
			assert.NotContains(t, err.Error(), bad[10:], "an error never shows a key")
		}
	}
}

// However a secret comes to be text, it is redacted.
func TestSecretsAreRedacted(t *testing.T) {
	secret, err := signpost.ParseSecret(whsec)
	require.NoError(t, err)
	private, err := signpost.ParsePrivateKey(whsk)
	require.NoError(t, err)
	type config struct {
		S signpost.Secret
		P *signpost.PrivateKey
		u signpost.Secret
	}
	c := config{secret, &private, secret}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		fmt.Fprintf(&out, verb+verb+verb+verb+"\n", secret, private, &c, c)
	}
	for _, v := range []any{secret, private, c, map[string]any{"k": private}} {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(b)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "s", secret, "p", private, "c", c, "u", c.u)
	}
	d, err := signpost.New(signpost.WithSecret(whsec), quiet)
	require.NoError(t, err)
	defer d.Close()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, d) // a failing test prints what it compares
	}
	text := out.String()
	assert.Contains(t, text, "REDACTED")
	for _, s := range []string{whsec, whsk} {
		raw := s[6:20]
		assert.NotContains(t, text, raw)
	}
	assert.NotContains(t, strings.ToLower(text), "31f290", "not as hex either: the secret's first bytes")
	assert.NotContains(t, text, "49 242 144")
}
