package signpost

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Verifier is the receiver's side of Standard Webhooks 1.0.0: it tells requests that were signed with one
// of its keys from all others. It is safe for concurrent use. Set its fields before the first use.
//
// A message may come more than once; a receiver that must not act twice remembers the webhook-id of what it
// has handled.
type Verifier struct {
	Tolerance time.Duration // how far webhook-timestamp may be from now, either way; 0: 5 min
	MaxBody   int64         // largest body that Handler reads, in bytes; 0: 1 MiB

	keys []VerificationKey
}

// A VerificationKey is a [Secret] or a [PublicKey]; it can't be anything else.
type VerificationKey interface {
	// verifier returns a function that tells whether a signature of the given version is the key's for content.
	verifier(content []byte) func(version, signature string) bool
	empty() bool
}

func (s Secret) empty() bool { return s.mac == nil }

func (s Secret) verifier(content []byte) func(version, signature string) bool {
	var want []byte // computed once, however many signatures a request claims
	return func(version, signature string) bool {
		if version != "v1" || s.mac == nil {
			return false
		}
		if want == nil {
			sum := s.mac.sum(nil, content)
			want = base64.StdEncoding.AppendEncode(nil, sum[:])
		}
		return hmac.Equal(want, []byte(signature))
	}
}

func (k PublicKey) empty() bool { return k.key == "" }

func (k PublicKey) verifier(content []byte) func(version, signature string) bool {
	return func(version, signature string) bool {
		if version != "v1a" || k.key == "" {
			return false
		}
		b, err := base64.StdEncoding.Strict().DecodeString(signature)
		return err == nil && ed25519.Verify(ed25519.PublicKey(k.key), content, b)
	}
}

// NewVerifier returns a Verifier for what is signed with any of keys. While a secret is rotated, give the new
// and the old one.
func NewVerifier(keys ...VerificationKey) (*Verifier, error) {
	if len(keys) == 0 {
		return nil, invalid("verifier: it needs a key, a Secret or a PublicKey")
	}
	for i, k := range keys {
		if k == nil || k.empty() {
			return nil, invalid("verifier: key %d is empty; use ParseSecret or ParsePublicKey", i+1)
		}
	}
	return &Verifier{keys: append([]VerificationKey(nil), keys...)}, nil
}

// maxSignatures bounds the work that an unverified request can ask for.
const maxSignatures = 32

// Verify checks the headers webhook-id, webhook-timestamp and webhook-signature of a request with the given
// body, which must be the very bytes that came. It returns nil if any signature matches any key, and
// otherwise an error that wraps ErrTimestamp or ErrSignature. Signatures of unknown versions are ignored.
func (v *Verifier) Verify(h http.Header, body []byte) error {
	id, timestamp := h.Get(headerID), h.Get(headerTimestamp)
	switch {
	case len(h.Values(headerID)) != 1 || id == "" || validateID(id) != nil:
		return fmt.Errorf("%w: webhook-id %.80q is not usable", ErrSignature, id)
	case len(h.Values(headerTimestamp)) != 1:
		return fmt.Errorf("%w: webhook-timestamp must be there once", ErrTimestamp)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || timestamp[0] == '+' || timestamp[0] == '-' {
		return fmt.Errorf("%w: webhook-timestamp %.40q is not a number of seconds", ErrTimestamp, timestamp)
	}
	tolerance := v.Tolerance
	if tolerance == 0 {
		tolerance = 5 * time.Minute
	}
	now := time.Now()
	if t := time.Unix(seconds, 0); t.Before(now.Add(-tolerance)) || t.After(now.Add(tolerance)) {
		return fmt.Errorf("%w: webhook-timestamp %s is more than %v from now", ErrTimestamp, timestamp, tolerance)
	}
	content := signedContent(id, timestamp, body)
	verifiers := make([]func(version, signature string) bool, len(v.keys))
	for i, k := range v.keys {
		verifiers[i] = k.verifier(content)
	}
	seen := 0
	for _, line := range h.Values(headerSignature) {
		for part := range strings.FieldsSeq(line) {
			if seen++; seen > maxSignatures {
				return fmt.Errorf("%w: more than %d signatures", ErrSignature, maxSignatures)
			}
			version, signature, _ := strings.Cut(part, ",")
			for _, verifies := range verifiers {
				if verifies(version, signature) {
					return nil
				}
			}
		}
	}
	if seen == 0 {
		return fmt.Errorf("%w: there is no webhook-signature", ErrSignature)
	}
	return fmt.Errorf("%w: none of %d signatures", ErrSignature, seen)
}

// Handler returns a handler that calls next with verified requests only, their body there to be read again. It
// answers 401 to what doesn't verify, 413 to a body larger than MaxBody, and 400 to one that can't be read.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := v.MaxBody
		if most == 0 {
			most = 1 << 20
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			http.Error(w, "body is too large", http.StatusRequestEntityTooLarge)
			return
		case err != nil:
			http.Error(w, "body can't be read", http.StatusBadRequest)
			return
		}
		if err := v.Verify(r.Header, body); err != nil {
			http.Error(w, "webhook does not verify", http.StatusUnauthorized)
			return
		}
		r2 := r.WithContext(r.Context())
		r2.Body = io.NopCloser(bytes.NewReader(body))
		r2.ContentLength = int64(len(body))
		next.ServeHTTP(w, r2)
	})
}
