package signpost

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// A Part is a piece of a header's value, or of what is signed: a [Text], [MessageID], [UnixTime], [Body], [HexHMAC] or
// [Base64HMAC]; it can't be anything else. [HeaderSigner] makes a Signer of Parts.
type Part interface {
	appendTo(b []byte, m *Message, t time.Time) []byte
	check() error
}

// Text is a Part that is always the same.
type Text string

func (s Text) appendTo(b []byte, _ *Message, _ time.Time) []byte { return append(b, s...) }
func (s Text) check() error                                      { return nil }

// The Parts that are taken from the message and the attempt.
const (
	MessageID = field(iota + 1) // the message's ID
	UnixTime                    // the attempt's time, in seconds since 1970
	Body                        // the payload; it is signed, and no header can hold it
)

type field uint8

func (f field) appendTo(b []byte, m *Message, t time.Time) []byte {
	switch f {
	case MessageID:
		return append(b, m.ID...)
	case UnixTime:
		return strconv.AppendInt(b, t.Unix(), 10)
	case Body:
		return append(b, m.Payload...)
	}
	return b
}

func (f field) check() error { return nil }

// HexHMAC is the HMAC-SHA256 of the signed Parts, one after the other, in lower-case hexadecimal digits. The Body
// must be among them.
func HexHMAC(secret []byte, signed ...Part) Part {
	return newHMACPart(secret, signed, false)
}

// Base64HMAC is [HexHMAC] in base64, with padding.
func Base64HMAC(secret []byte, signed ...Part) Part {
	return newHMACPart(secret, signed, true)
}

func newHMACPart(secret []byte, signed []Part, base64 bool) Part {
	p := &hmacPart{mac: newMAC(secret), signed: append([]Part(nil), signed...), base64: base64}
	if len(secret) == 0 {
		p.err = invalid("signing secret: empty; anybody could sign with it")
	}
	covered := false
	for i, part := range signed {
		covered = covered || part == Body
		p.err = errors.Join(p.err, checkPart(i, part))
	}
	if !covered {
		p.err = errors.Join(p.err, invalid("signature: it doesn't cover the Body"))
	}
	return p
}

type hmacPart struct {
	mac    *mac
	signed []Part
	base64 bool // or else hexadecimal
	err    error
}

func (p *hmacPart) appendTo(b []byte, m *Message, t time.Time) []byte {
	sum := p.mac.sumParts(p.signed, m, t)
	if p.base64 {
		return base64.StdEncoding.AppendEncode(b, sum[:])
	}
	return hex.AppendEncode(b, sum[:])
}

func (p *hmacPart) check() error { return p.err }

func checkPart(i int, p Part) error {
	switch f, isField := p.(field); {
	case p == nil:
		return invalid("part %d is nil", i+1)
	case isField && f >= MessageID && f <= Body:
		return nil
	}
	switch p.(type) {
	case Text, *hmacPart:
		return p.check()
	}
	return invalid("part %d is a %T: give one of this package's Parts", i+1, p)
}

// HeaderSigner returns a Signer that sets the header name to the Parts of value, one after the other. With it and
// [Signers] most vendors' schemes are one line; the example has some. Alone it must sign: one of the Parts is an HMAC.
// A header that holds only the time or the ID is for Signers, beside one that signs.
//
// [WithSigner] refuses a bad header name, a value that no header can hold, an empty secret, and an HMAC that doesn't
// cover the Body.
func HeaderSigner(name string, value ...Part) Signer { return newHeaderSigner(name, value) }

func newHeaderSigner(name string, value []Part) *headerSigner {
	s := &headerSigner{name: http.CanonicalHeaderKey(name), value: append([]Part(nil), value...)}
	s.err = checkHeaderSigner(name, value)
	for _, p := range value {
		if _, ok := p.(*hmacPart); ok {
			s.signs = true
		}
	}
	return s
}

func checkHeaderSigner(name string, value []Part) error {
	var errs []error
	switch why := reserved(http.CanonicalHeaderKey(name)); {
	case !isToken(name):
		errs = append(errs, invalid("signature header %q: not a header name", name))
	case why != "":
		errs = append(errs, invalid("signature header %q: %s", name, why))
	}
	if len(value) == 0 {
		errs = append(errs, invalid("signature header %q: it has no value", name))
	}
	for i, p := range value {
		errs = append(errs, checkPart(i, p))
		if text, ok := p.(Text); ok && !isFieldValue(string(text)) {
			errs = append(errs, invalid("signature header %s: %q can't be sent in a header", name, string(text)))
		}
		if p == Body {
			errs = append(errs, invalid("signature header %s: the Body can't be sent in a header, only signed", name))
		}
	}
	return errors.Join(errs...)
}

type headerSigner struct {
	name  string
	value []Part
	signs bool // the value has an HMAC
	err   error
}

func (s *headerSigner) check() error {
	if s.err == nil && !s.signs {
		return invalid("signature header %s: it holds no signature; put it beside one that does with Signers", s.name)
	}
	return s.err
}

func (s *headerSigner) Sign(req *http.Request, m *Message, t time.Time) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.set(req, m, t)
}

// set is Sign for one of several Signers: that another of them signs is for the caller to check.
func (s *headerSigner) set(req *http.Request, m *Message, t time.Time) error {
	if s.err != nil {
		return s.err
	}
	var room [256]byte
	text := room[:0]
	for _, p := range s.value {
		text = p.appendTo(text, m, t)
	}
	req.Header[s.name] = []string{string(text)}
	return nil
}

// HMACSigner returns a Signer that sets one header to prefix and the hex HMAC-SHA256 of the body: X-Signature
// with no prefix, or GitHub's X-Hub-Signature-256 with "sha256=". The scheme covers neither ID nor time, so a
// receiver can't tell a replay; prefer [NewSigner] where you may choose. [WithSigner] refuses a bad header name and
// an empty secret.
func HMACSigner(header, prefix string, secret []byte) Signer {
	return HeaderSigner(header, Text(prefix), HexHMAC(secret, Body))
}

// TimestampSigner returns a Signer that sets one header to "t=…,v1=…" with the hex HMAC-SHA256 of "t.body",
// as Stripe signs: t is the attempt's time in Unix seconds, and there is a v1 for every secret. [WithSigner]
// refuses a bad header name, no secret and an empty one.
func TimestampSigner(header string, secrets ...[]byte) Signer {
	value := []Part{Text("t="), UnixTime}
	for _, secret := range secrets {
		value = append(value, Text(",v1="), HexHMAC(secret, UnixTime, Text("."), Body))
	}
	s := newHeaderSigner(header, value)
	if len(secrets) == 0 {
		s.err = errors.Join(s.err, invalid("signer for %s: it needs a secret", header))
	}
	return s
}
