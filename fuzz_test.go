package signpost

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A URL that is accepted can be sent to, and its host has one key however it is written.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"https://example.com/a?b=c#d", "http://EXAMPLE.com.:80", "http://[::1]:8080/", "http://[fe80::1%25eth0]/", "http://127.0.0.1:/", "http://a:b@c/",
		"http://1２7.0.0.1/", "http://%41.example/", "http://a%2eb/", "ftp://x", "//x", "http:/x", "http://:1", "http://x:99999/", "http://x:0080/", "http://[::ffff:1.2.3.4]/",
		"http://ä.example/", "http://MÜNCHEN.example:8080/", "http://mu\u0308nchen.example/", "http://ab\u00ad.example/", "http://\xff.example/", "http://①②⑦。0.0.1/",
		"http://[fe80::1%25ä]/", "http://xn--a/", "http://..", "http://-/", "http://a..b/", "http://\x00/", "http://x/\r\n", "http://[1.2.3.4]/", "http://x:1:2/", "HTTP://x/%2f?%zz",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		to, err := parseURL(s)
		redact(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := parseURL(strings.ToUpper(to.url.Scheme) + "://" + to.host + "/")
		if err != nil || again.host != to.host {
			t.Fatalf("%q: the key %q of its host is no host or another one: %v, %v", s, to.host, again, err)
		}
		if !strings.HasPrefix(to.endpoint, to.url.Scheme+"://"+to.host+"/") && !strings.HasPrefix(to.endpoint, to.url.Scheme+"://"+to.host+"*") {
			t.Fatalf("%q: endpoint %q doesn't belong to host %q", s, to.endpoint, to.host)
		}
		if upper, err := parseURL(asciiUpper(to.url.Scheme + "://" + to.url.Host + "/")); !strings.Contains(to.url.Host, "%") && (err != nil || upper.host != to.host) {
			t.Fatalf("%q: in capitals it has another key: %v, %v", s, upper, err)
		}
		// net/http writes what was accepted.
		req := (&http.Request{Method: "POST", URL: to.url, Host: to.url.Host, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte("{}"))), ContentLength: 2})
		if err := req.Write(io.Discard); err != nil || !isASCII(to.url.Host) {
			t.Fatalf("%q is accepted, but net/http refuses it or asks for another host than %q: %v", s, to.url.Host, err)
		}
	})
}

func asciiUpper(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// A Retry-After is never negative, and what is read as seconds is neither shortened nor overflows.
func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{
		"120", "-1", "+1", "1.5", "", " 7 ", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0x10", "１２",
	} {
		f.Add(s)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		d := parseRetryAfter(s, now)
		if d < 0 {
			t.Fatalf("%q: %v", s, d)
		}
		o, hold := RetryPolicy{}.withDefaults().decide(Attempt{Number: 1, StatusCode: 429, RetryAfter: d, Start: now}, Throttle)
		if hold < min(d, time.Hour) || hold > time.Hour || o.RetryAt.Before(now.Add(hold)) || o.RetryAt.After(now.Add(time.Hour)) {
			t.Fatalf("%q asks for %v: held for %v, retried at %v", s, d, hold, o.RetryAt)
		}
	})
}

// The Verifier never panics, and accepts nothing but what was signed.
func FuzzVerify(f *testing.F) {
	secret, key := NewSecret(), NewPrivateKey()
	v, _ := NewVerifier(secret, key.Public())
	signer, _ := NewSigner(secret)
	f.Add("id", "1700000000", "v1,AAAA v1a,AAAA", []byte(`{}`))
	f.Add("", "", "", []byte(nil))
	f.Add("a.b", "-1", "v1", []byte("x"))
	f.Add("id", "9223372036854775807", ",,, v1,, v1a,= \t v2,x", []byte("x"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{headerID: {id}, headerTimestamp: {timestamp}, headerSignature: {signature}}
		if v.Verify(h, body) == nil {
			t.Fatal("a forged signature is accepted")
		}
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		if signer.Sign(req, &Message{ID: id, Payload: body}, time.Now()) != nil || validateID(id) != nil || id == "" {
			return
		}
		req.Header[headerSignature][0] = "v9,x " + req.Header.Get(headerSignature)
		if err := v.Verify(req.Header, body); err != nil {
			t.Fatalf("what was signed is refused: %v", err)
		}
		if v.Verify(req.Header, append(body, 'x')) == nil {
			t.Fatal("a changed body is accepted")
		}
	})
}

// What parses as a key is written as it was read.
func FuzzKeys(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add("whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==")
	f.Add("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")
	f.Add("whsec_")
	f.Add("whsec_A\n==")
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2L\r\naLaSw")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParseSecret(s); err == nil && k.Reveal() != s {
			t.Fatalf("secret %q comes back as %q", s, k.Reveal())
		}
		if k, err := ParsePublicKey(s); err == nil && k.String() != s {
			t.Fatalf("public key %q comes back as %q", s, k)
		}
		if k, err := ParsePrivateKey(s); err == nil && !strings.HasPrefix(k.Reveal(), strings.TrimRight(s, "=")[:43]) {
			t.Fatalf("private key %q comes back as %q", s, k.Reveal())
		}
	})
}

// A header that is accepted can be sent, and comes out at the other end as it went in.
func FuzzHeader(f *testing.F) {
	f.Add("X-A", "b")
	f.Add("x a", "b")
	f.Add("Connection", "close")
	f.Add("X-A", "a\r\nX-B: c")
	f.Add("", "\x7f")
	f.Add("X-Ä", "ü\t")
	f.Fuzz(func(t *testing.T, key, value string) {
		if validateHeader(http.Header{key: {value}}) != nil {
			return
		}
		var out bytes.Buffer
		req := httptest.NewRequest(http.MethodPost, "http://example.com/", nil)
		req.Header[http.CanonicalHeaderKey(key)] = []string{value}
		if err := req.Write(&out); err != nil {
			t.Fatalf("%q: %q is accepted, but net/http refuses it: %v", key, value, err)
		}
		lines := strings.Count(out.String(), "\r\n")
		if canonical := http.CanonicalHeaderKey(key); canonical == "User-Agent" {
			return
		}
		if want := strings.Count(out.String(), "\n"); lines != want {
			t.Fatalf("%q: %q is more than one line: %q", key, value, out.String())
		}
	})
}
