package signpost

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Signer proves to a receiver where a message comes from. Its methods may be called from many goroutines at once.
// An error, or a panic, fails the attempt, and the message is retried.
type Signer interface {
	// Sign adds to req the headers that prove m's origin; t is the attempt's time. It may wait for as long as
	// req.Context allows. It must change neither m nor anything else of req.
	Sign(req *http.Request, m *Message, t time.Time) error
}

// SignerFunc is a Signer in one line.
type SignerFunc func(req *http.Request, m *Message, t time.Time) error

// Sign calls f.
func (f SignerFunc) Sign(req *http.Request, m *Message, t time.Time) error { return f(req, m, t) }

// A Key makes one signature of the Standard Webhooks scheme. [Secret] and [PrivateKey] are Keys; a key that never
// leaves a KMS can be one. Sign may be called from many goroutines at once.
type Key interface {
	// Sign returns the signature of content with its version: "v1,…" or "v1a,…". It must not keep or change
	// content.
	Sign(ctx context.Context, content []byte) (signature string, err error)
}

// The headers of Standard Webhooks, in net/http's spelling.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// NewSigner returns a Signer that follows Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): the headers
// webhook-id, webhook-timestamp and webhook-signature, the last with one signature for every key. While a secret is
// rotated, give the new and the old one: a receiver accepts a message if any signature matches.
func NewSigner(keys ...Key) (Signer, error) {
	if err := checkKeys(keys); err != nil {
		return nil, err
	}
	return standardSigner(keys), nil
}

// standardSigner is NewSigner for keys that are known to be there.
func standardSigner(keys []Key) Signer {
	return &keySigner{append([]Key(nil), keys...), headerID, headerTimestamp, headerSignature}
}

// NewPrefixedSigner is NewSigner with prefix in place of "webhook-" in the names of the three headers, as vendors
// spell them whose scheme is older than the standard: "svix-" for receivers that verify by Svix's documentation.
func NewPrefixedSigner(prefix string, keys ...Key) (Signer, error) {
	if !isToken(prefix) {
		return nil, invalid("signer: prefix %q can't begin a header name; give one such as \"svix-\"", prefix)
	}
	if err := checkKeys(keys); err != nil {
		return nil, err
	}
	name := func(standard string) string {
		return http.CanonicalHeaderKey(prefix + strings.TrimPrefix(standard, "Webhook-"))
	}
	return &keySigner{append([]Key(nil), keys...), name(headerID), name(headerTimestamp), name(headerSignature)}, nil
}

func checkKeys(keys []Key) error {
	if len(keys) == 0 {
		return invalid("signer: it needs a key, such as a Secret")
	}
	for i, k := range keys {
		if k == nil || k == (Secret{}) || k == (PrivateKey{}) {
			return invalid("signer: key %d is empty; use NewSecret, ParseSecret, NewPrivateKey or ParsePrivateKey", i+1)
		}
	}
	return nil
}

type keySigner struct {
	keys                     []Key
	id, timestamp, signature string // names of the headers
}

func (s *keySigner) Sign(req *http.Request, m *Message, t time.Time) error {
	var room [128]byte // for the timestamp and two signatures of secrets
	text := strconv.AppendInt(room[:0], t.Unix(), 10)
	stamp := len(text)
	var content []byte // made for the first key that needs it in one piece
	for i, k := range s.keys {
		if i > 0 {
			text = append(text, ' ')
		}
		if secret, ok := k.(Secret); ok {
			text = secret.sign(text, m.ID, text[:stamp], m.Payload)
			continue
		}
		if content == nil {
			content = signedContent(m.ID, string(text[:stamp]), m.Payload)
		}
		signature, err := k.Sign(req.Context(), content)
		if err != nil {
			return fmt.Errorf("signing with key %d: %w", i+1, err)
		}
		if !isFieldValue(signature) || signature == "" {
			return invalid("signature of key %d: it can't be sent in a header", i+1)
		}
		text = append(text, signature...)
	}
	both := string(text)
	values := [...]string{m.ID, both[:stamp], both[stamp:]}
	req.Header[s.id] = values[0:1:1]
	req.Header[s.timestamp] = values[1:2:2]
	req.Header[s.signature] = values[2:3:3]
	return nil
}

// signedContent is what Standard Webhooks signs: id.timestamp.body.
func signedContent(id, timestamp string, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	b = append(append(b, id...), '.')
	b = append(append(b, timestamp...), '.')
	return append(b, body...)
}

// Signers returns a Signer that signs with all of s, in order, after the headers that sign nothing were set: for the time
// in which receivers move from one scheme to another, and for schemes with more than one header. At least one of them
// must sign, and no two set the same header.
func Signers(s ...Signer) Signer { return signers(append([]Signer(nil), s...)) }

type signers []Signer

func (s signers) check() error {
	var errs []error
	signs := false
	seen := map[string]bool{}
	for _, signer := range s {
		h, isHeader := signer.(*headerSigner)
		switch {
		case isHeader && h.err != nil:
			errs = append(errs, h.err)
		case !isHeader:
			errs = append(errs, checkSigner(signer))
		}
		if isHeader && seen[h.name] {
			errs = append(errs, invalid("signers: header %s is set twice, and only the last one would be sent", h.name))
		} else if isHeader {
			seen[h.name] = true
		}
		signs = signs || !isHeader || h.signs
	}
	switch {
	case len(s) == 0:
		errs = append(errs, invalid("signers: none given; to send without a signature use WithoutSigning"))
	case !signs:
		errs = append(errs, invalid("signers: none of them signs; give one that does, such as a HeaderSigner with a HexHMAC"))
	}
	return errors.Join(errs...)
}

func (s signers) Sign(req *http.Request, m *Message, t time.Time) error {
	for _, signer := range s { // those that don't sign come first: none may replace a signature
		if h, ok := signer.(*headerSigner); ok && !h.signs {
			if err := h.set(req, m, t); err != nil {
				return err
			}
		}
	}
	signs := false
	for _, signer := range s {
		if signer == nil {
			return checkSigner(nil)
		}
		var err error
		if h, ok := signer.(*headerSigner); ok {
			if !h.signs {
				continue
			}
			err = h.set(req, m, t)
			signs = true
		} else {
			err = signer.Sign(req, m, t)
			signs = true
		}
		if err != nil {
			return err
		}
	}
	if !signs {
		return s.check() // a signer that signs nothing would be an open door
	}
	return nil
}

// checkSigner returns what is wrong with a signer, as far as it can be told before it signs.
func checkSigner(s Signer) error {
	if s == nil {
		return invalid("signer nil")
	}
	if c, ok := s.(interface{ check() error }); ok {
		return c.check()
	}
	return nil
}

// A Secret is a symmetric key of Standard Webhooks: 24 to 64 bytes, written "whsec_" and base64. It signs
// (v1) and verifies. It prints, logs and marshals as REDACTED. Its zero value signs and verifies nothing.
// Secrets may be compared with ==: true only for copies of one.
type Secret struct{ mac *mac }

const (
	secretPrefix     = "whsec_"
	privateKeyPrefix = "whsk_"
	publicKeyPrefix  = "whpk_"

	minSecret, maxSecret = 24, 64
)

// NewSecret returns a random secret of 32 bytes.
func NewSecret() Secret {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return Secret{newMAC(key)}
}

// ParseSecret reads a secret as Reveal writes it.
func ParseSecret(s string) (Secret, error) {
	key, err := decodeKey("secret", secretPrefix, s)
	if err != nil {
		return Secret{}, err
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return Secret{}, invalid("secret of %d bytes: Standard Webhooks asks for %d to %d; see NewSecret",
			len(key), minSecret, maxSecret)
	}
	return Secret{newMAC(key)}, nil
}

// decodeKey never quotes the key: it is a secret.
func decodeKey(what, prefix, s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return nil, invalid("%s: it must begin with %q", what, prefix)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which encoding/base64 passes over
		return nil, invalid("%s: what follows %q is not base64", what, prefix)
	}
	return key, nil
}

// Sign returns "v1," and the base64 HMAC-SHA256 of content.
func (s Secret) Sign(_ context.Context, content []byte) (string, error) {
	if s.mac == nil {
		return "", invalid("secret: empty; use NewSecret or ParseSecret")
	}
	sum := s.mac.sum(nil, content)
	return "v1," + base64.StdEncoding.EncodeToString(sum[:]), nil
}

// sign appends to b what Sign returns for id.timestamp.body, without a copy of the body.
func (s Secret) sign(b []byte, id string, timestamp, body []byte) []byte {
	var room [320]byte
	head := append(append(room[:0], id...), '.')
	head = append(append(head, timestamp...), '.')
	sum := s.mac.sum(head, body)
	b = append(b, "v1,"...)
	return base64.StdEncoding.AppendEncode(b, sum[:])
}

// Reveal returns the text to hand to a receiver.
func (s Secret) Reveal() string {
	if s.mac == nil {
		return ""
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(s.mac.key.open())
}

// A PrivateKey is an ed25519 key of Standard Webhooks, written "whsk_" and the base64 of its 64 bytes. It
// signs (v1a). It prints, logs and marshals as REDACTED. Its zero value signs nothing.
type PrivateKey struct{ key *sealed }

// NewPrivateKey returns a random key.
func NewPrivateKey() PrivateKey {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic("signpost: no randomness: " + err.Error()) // crypto/rand never fails
	}
	return PrivateKey{seal(key)}
}

// ParsePrivateKey reads a key as Reveal writes it, or the 32 bytes of its seed alone.
func ParsePrivateKey(s string) (PrivateKey, error) {
	b, err := decodeKey("private key", privateKeyPrefix, s)
	if err != nil {
		return PrivateKey{}, err
	}
	if len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize {
		return PrivateKey{}, invalid("private key of %d bytes: ed25519 has %d, or %d for its seed",
			len(b), ed25519.PrivateKeySize, ed25519.SeedSize)
	}
	key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if len(b) == ed25519.PrivateKeySize && !hmac.Equal(b, key) {
		return PrivateKey{}, invalid("private key: its public half doesn't belong to its seed")
	}
	return PrivateKey{seal(key)}, nil
}

// Sign returns "v1a," and the base64 ed25519 signature of content.
func (k PrivateKey) Sign(_ context.Context, content []byte) (string, error) {
	if k.key == nil {
		return "", invalid("private key: empty; use NewPrivateKey or ParsePrivateKey")
	}
	return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.key.open(), content)), nil
}

// Public returns the key to hand to receivers.
func (k PrivateKey) Public() PublicKey {
	if k.key == nil {
		return PublicKey{}
	}
	return PublicKey{string(k.key.open()[ed25519.SeedSize:])}
}

// Reveal returns the text to keep in a secret store.
func (k PrivateKey) Reveal() string {
	if k.key == nil {
		return ""
	}
	return privateKeyPrefix + base64.StdEncoding.EncodeToString(k.key.open())
}

// A PublicKey verifies what its PrivateKey has signed. It is written "whpk_" and the base64 of its 32 bytes.
// Its zero value verifies nothing.
type PublicKey struct{ key string }

// ParsePublicKey reads a key as String writes it.
func ParsePublicKey(s string) (PublicKey, error) {
	b, err := decodeKey("public key", publicKeyPrefix, s)
	if err != nil {
		return PublicKey{}, err
	}
	if len(b) != ed25519.PublicKeySize {
		return PublicKey{}, invalid("public key of %d bytes: ed25519 has %d", len(b), ed25519.PublicKeySize)
	}
	return PublicKey{string(b)}, nil
}

// String returns the text to hand to receivers.
func (k PublicKey) String() string {
	if k.key == "" {
		return ""
	}
	return publicKeyPrefix + base64.StdEncoding.EncodeToString([]byte(k.key))
}

const redacted = "REDACTED"

// Every way in which a value comes to be text shows secrets redacted, %x and %#v of a struct around them included.

// Format writes REDACTED, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// Format writes REDACTED, whatever the verb.
func (PrivateKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// String returns REDACTED.
func (Secret) String() string { return redacted }

// String returns REDACTED.
func (PrivateKey) String() string { return redacted }

// LogValue returns REDACTED.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// LogValue returns REDACTED.
func (PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns REDACTED.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalText returns REDACTED.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
