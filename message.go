package signpost

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-go/signpost/internal/jsonvalid"
)

// A Message is one webhook on its way to one URL.
type Message struct {
	// ID is sent as webhook-id, the same on every attempt. Empty: "msg_" and 128 random bits. It is printable
	// ASCII without dots and spaces, 255 bytes at most.
	ID        string
	URL       string      // absolute http or https URL
	Payload   []byte      // a JSON document: the very bytes that are signed and sent
	Header    http.Header // sent as well, on every attempt
	CreatedAt time.Time   // zero: now
	Attempts  int         // attempts made so far
}

// Host returns the host that m goes to: the name of its URL in lower case, without a trailing dot, and the port, as in
// "example.com:443". It is what [WithRateLimit], windows and circuit breakers are counted by, and [HostStats] named by;
// all spellings of a name or an IP address have the same. It is "" if the URL is not one that Send accepts. It is
// derived from the URL anew each time: a microsecond or so, more for a name beyond ASCII.
func (m *Message) Host() string {
	to, err := parseURL(m.URL)
	if err != nil {
		return ""
	}
	return to.host
}

// Endpoint returns the endpoint that m goes to: the URL with its host as in Host and without query and fragment, as in
// "https://example.com:443/hook". It is what Retry-After, windows and circuit breakers of endpoints are counted by. It
// has neither password nor query, so that it may be stored and logged. No endpoint belongs to two hosts, and none is
// equal to a host. It is "" if the URL is not one that Send accepts. It is derived from the URL anew each time.
func (m *Message) Endpoint() string {
	to, err := parseURL(m.URL)
	if err != nil {
		return ""
	}
	return to.endpoint
}

// An Attempt is one request and what came of it.
type Attempt struct {
	Number     int           // 1 for the first
	Start      time.Time     // when its deadline began to count
	Duration   time.Duration // until the response was read, or the attempt given up
	StatusCode int           // 0: no response
	RetryAfter time.Duration // what the response asked for, 0 if nothing
	Body       []byte        // the response's first bytes (16 KiB at most)
	Err        error         // why there was no response; redacted of the URL's query string and credentials
}

// State is what became of a message.
type State uint8

// The states of an [Outcome]. Delivered and Dead are final.
const (
	Delivered State = iota + 1 // the receiver has accepted it
	Retrying                   // it will be tried again
	Dead                       // it will never be tried again
	Deferred                   // it went back to its durable queue without an attempt
)

func (s State) String() string {
	switch s {
	case Delivered:
		return "delivered"
	case Retrying:
		return "retrying"
	case Dead:
		return "dead"
	case Deferred:
		return "deferred"
	}
	return "State(" + strconv.Itoa(int(s)) + ")"
}

// An Outcome is what became of a message after an attempt, or without one.
type Outcome struct {
	State   State
	Attempt Attempt   // the attempt behind it; zero for Deferred, and for Dead without one
	RetryAt time.Time // when Retrying or Deferred
	Reason  error     // when Dead: ErrExhausted, ErrExpired, ErrGone, ErrRejected, ErrBlocked, ErrDisabled, or why it is invalid
}

// newID returns "msg_" and 128 random bits in base64url, which has no dot.
func newID() string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	var id [4 + 22]byte
	copy(id[:], "msg_")
	base64.RawURLEncoding.Encode(id[4:], random[:])
	return string(id[:])
}

// marshal returns the bytes to send for a caller's payload, which the caller may change afterwards.
func marshal(payload any) ([]byte, error) {
	switch p := payload.(type) {
	case nil:
		return nil, invalid("payload nil: give a JSON document, or a value to marshal")
	case []byte:
		return bytes.Clone(p), nil
	case json.RawMessage:
		return bytes.Clone(p), nil
	}
	b, err := json.Marshal(payload)
	if err != nil {
		return nil, invalid("payload of type %T: %w", payload, err)
	}
	return b, nil
}

// What a message may have at most.
const (
	maxAttempts = 1 << 30
	maxHeader   = 64 << 10 // bytes of names and values
)

// validate checks what m's fields are, except for its URL.
func (m *Message) validate(maxPayload int) error {
	if err := validateID(m.ID); err != nil {
		return err
	}
	if m.Attempts < 0 || m.Attempts > maxAttempts {
		return invalid("attempts %d: give 0 to %d", m.Attempts, maxAttempts)
	}
	if err := validateHeader(m.Header); err != nil {
		return err
	}
	if len(m.Payload) > maxPayload {
		return invalid("payload of %d bytes: at most %d are allowed (WithMaxPayload)", len(m.Payload), maxPayload)
	}
	if len(m.Payload) == 0 {
		return invalid("payload: empty; send a JSON document, such as {}")
	}
	if !jsonvalid.Valid(m.Payload) {
		return invalid("payload %q: not a JSON document", excerpt(m.Payload))
	}
	return nil
}

func excerpt(b []byte) string {
	if len(b) > 40 {
		return string(b[:40]) + "…"
	}
	return string(b)
}

func validateID(id string) error {
	if len(id) > 255 {
		return invalid("ID %.20q… of %d bytes: at most 255 are allowed", id, len(id))
	}
	for i := range len(id) {
		switch c := id[i]; {
		case c == '.':
			return invalid("ID %q: a dot would make the signed content ambiguous; use another character", id)
		case c <= ' ' || c > '~':
			return invalid("ID %q: only printable ASCII without spaces can be sent in a header", id)
		}
	}
	return nil
}

// validateHeader refuses what can't be sent, and what isn't the user's to set.
func validateHeader(h http.Header) error {
	size := 0
	for key, values := range h {
		if !isToken(key) {
			return invalid("header name %q: not a token of RFC 9110", key)
		}
		canonical := http.CanonicalHeaderKey(key)
		if canonical != key && hasOtherSpelling(h, key, canonical) {
			return invalid("header %s: it is there in more than one spelling; give one name and all values", canonical)
		}
		if why := reserved(canonical); why != "" {
			return invalid("header %q: %s", key, why)
		}
		for _, v := range values {
			if !isFieldValue(v) {
				return invalid("header %s: its value has a control character", key)
			}
			if size += len(key) + len(v); size > maxHeader {
				return invalid("header %s: at most %d bytes of headers are allowed", key, maxHeader)
			}
		}
	}
	return nil
}

func hasOtherSpelling(h http.Header, key, canonical string) bool {
	for other := range h {
		if other != key && http.CanonicalHeaderKey(other) == canonical {
			return true
		}
	}
	return false
}

// reserved tells why a user can't set the header with the given canonical name, or is empty if they can.
func reserved(canonical string) string {
	switch canonical {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade":
		return "hop-by-hop headers belong to the transport"
	case "Host":
		return "it is taken from the URL"
	case "Content-Length":
		return "it is the payload's length"
	case headerID, headerTimestamp, headerSignature:
		return "it belongs to the signature; a message's ID is its ID field"
	}
	return ""
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// isFieldValue reports whether s can be a header's value (RFC 9110, section 5.5): no control characters but
// the tab.
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
