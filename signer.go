package signpost

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
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
	if len(keys) == 0 {
		return nil, invalid("signer: it needs a key, such as a Secret")
	}
	for i, k := range keys {
		if k == nil || k == (Secret{}) || k == (PrivateKey{}) {
			return nil, invalid("signer: key %d is empty; use NewSecret, ParseSecret, NewPrivateKey or ParsePrivateKey", i+1)
		}
	}
	return standardSigner(append([]Key(nil), keys...)), nil
}

type standardSigner []Key

func (s standardSigner) Sign(req *http.Request, m *Message, t time.Time) error {
	var room [128]byte // for the timestamp and two signatures of secrets
	text := strconv.AppendInt(room[:0], t.Unix(), 10)
	stamp := len(text)
	var content []byte // made for the first key that needs it in one piece
	for i, k := range s {
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
	req.Header[headerID] = values[0:1:1]
	req.Header[headerTimestamp] = values[1:2:2]
	req.Header[headerSignature] = values[2:3:3]
	return nil
}

// signedContent is what Standard Webhooks signs: id.timestamp.body.
func signedContent(id, timestamp string, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	b = append(append(b, id...), '.')
	b = append(append(b, timestamp...), '.')
	return append(b, body...)
}

// HMACSigner returns a Signer that sets one header to prefix and the hex HMAC-SHA256 of the body: X-Signature
// with no prefix, or GitHub's X-Hub-Signature-256 with "sha256=". The scheme covers neither ID nor time, so a
// receiver can't tell a replay; prefer [NewSigner] where you may choose. [WithSigner] refuses a bad header name and
// an empty secret.
func HMACSigner(header, prefix string, secret []byte) Signer {
	return &hmacSigner{
		header: http.CanonicalHeaderKey(header), prefix: prefix, mac: newMAC(secret),
		err: errors.Join(validateSignatureHeader(header, prefix), validateRawSecret(secret)),
	}
}

type hmacSigner struct {
	header, prefix string
	mac            *mac
	err            error
}

func (s *hmacSigner) check() error { return s.err }

func (s *hmacSigner) Sign(req *http.Request, m *Message, _ time.Time) error {
	if s.err != nil {
		return s.err
	}
	sum := s.mac.sum(nil, m.Payload)
	text := make([]byte, 0, len(s.prefix)+hex.EncodedLen(len(sum)))
	text = append(text, s.prefix...)
	text = hex.AppendEncode(text, sum[:])
	req.Header[s.header] = []string{string(text)}
	return nil
}

// TimestampSigner returns a Signer that sets one header to "t=…,v1=…" with the hex HMAC-SHA256 of "t.body",
// as Stripe signs: t is the attempt's time in Unix seconds, and there is a v1 for every secret. [WithSigner]
// refuses a bad header name, no secret and an empty one.
func TimestampSigner(header string, secrets ...[]byte) Signer {
	s := &timestampSigner{header: http.CanonicalHeaderKey(header), err: validateSignatureHeader(header, "")}
	if len(secrets) == 0 {
		s.err = errors.Join(s.err, invalid("signer for %s: it needs a secret", header))
	}
	for _, secret := range secrets {
		s.err = errors.Join(s.err, validateRawSecret(secret))
		s.macs = append(s.macs, newMAC(secret))
	}
	return s
}

type timestampSigner struct {
	header string
	macs   []*mac
	err    error
}

func (s *timestampSigner) check() error { return s.err }

func (s *timestampSigner) Sign(req *http.Request, m *Message, t time.Time) error {
	if s.err != nil {
		return s.err
	}
	text := strconv.AppendInt([]byte("t="), t.Unix(), 10)
	stamp := append(text[len("t="):len(text):len(text)], '.')
	for _, mac := range s.macs {
		sum := mac.sum(stamp, m.Payload)
		text = append(text, ",v1="...)
		text = hex.AppendEncode(text, sum[:])
	}
	req.Header[s.header] = []string{string(text)}
	return nil
}

// Signers returns a Signer that signs with all of s, in order: for the time in which receivers move from one
// scheme to another.
func Signers(s ...Signer) Signer { return signers(append([]Signer(nil), s...)) }

type signers []Signer

func (s signers) check() error {
	var errs []error
	if len(s) == 0 {
		errs = append(errs, invalid("signers: none given; to send without a signature use WithoutSigning"))
	}
	for _, signer := range s {
		errs = append(errs, checkSigner(signer))
	}
	return errors.Join(errs...)
}

func (s signers) Sign(req *http.Request, m *Message, t time.Time) error {
	if len(s) == 0 {
		return s.check() // a signer that signs nothing would be an open door
	}
	for _, signer := range s {
		if signer == nil {
			return checkSigner(nil)
		}
		if err := signer.Sign(req, m, t); err != nil {
			return err
		}
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

func validateSignatureHeader(header, prefix string) error {
	if !isToken(header) {
		return invalid("signature header %q: not a header name", header)
	}
	if why := reserved(http.CanonicalHeaderKey(header)); why != "" {
		return invalid("signature header %q: %s", header, why)
	}
	if !isFieldValue(prefix) {
		return invalid("signature prefix %q: it can't be sent in a header", prefix)
	}
	return nil
}

func validateRawSecret(secret []byte) error {
	if len(secret) == 0 {
		return invalid("signing secret: empty; anybody could sign with it")
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

// A mac computes HMAC-SHA256 (RFC 2104) with one key. Its hashes are kept and reset: to key one anew costs as
// much as to hash 128 bytes.
type mac struct {
	key  *sealed
	pool sync.Pool // of *hasher
}

// A hasher is a hash, and room for what goes in and comes out of it that would be allocated each time otherwise:
// hash.Hash is an interface, so the compiler must assume that it keeps what it is given.
type hasher struct {
	hash.Hash
	head []byte
	sum  []byte
}

func newMAC(key []byte) *mac {
	m := &mac{key: seal(append([]byte(nil), key...))}
	m.pool.New = func() any { return &hasher{Hash: hmac.New(sha256.New, m.key.open())} }
	return m
}

// sum returns the HMAC of head and body, as if they were one.
func (m *mac) sum(head, body []byte) (sum [sha256.Size]byte) {
	h := m.pool.Get().(*hasher)
	h.Reset()
	h.head = append(h.head[:0], head...)
	h.Write(h.head)
	h.Write(body)
	h.sum = h.Sum(h.sum[:0])
	copy(sum[:], h.sum)
	m.pool.Put(h)
	return sum
}

// A sealed key is behind a function. With a verb that doesn't fit, package fmt shows what is in the
// unexported fields of a struct, pointers followed, where it can't call Format; of a function it shows only
// the address.
type sealed struct{ open func() []byte }

func seal(key []byte) *sealed { return &sealed{func() []byte { return key }} }
