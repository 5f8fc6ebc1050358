package signpost

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
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
	maxURL      = 8 << 10  // bytes
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
		if why := reserved(http.CanonicalHeaderKey(key)); why != "" {
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

// A destination is what a URL says of where to send.
type destination struct {
	url      *url.URL
	host     string // lower-case host and port, without a trailing dot: whose limits count
	endpoint string // the URL without query and fragment: whose line it stands in
}

// parseURL accepts absolute http and https URLs that net/http can send to.
func parseURL(s string) (*destination, error) {
	if len(s) > maxURL {
		return nil, invalid("URL %q: %d bytes, at most %d are allowed", redact(s), len(s), maxURL)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return nil, invalid("URL %q: it has a space or a control character; escape it", redact(s))
		}
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, invalid("URL %q: not a URL", redact(s))
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "" {
		return nil, invalid("URL %q: give an absolute one, beginning with https:// or http://", redact(s))
	}
	if u.User != nil {
		return nil, invalid("URL %q: user and password don't belong in it; use an Authorization header", redact(s))
	}
	name := u.Hostname()
	if strings.TrimSuffix(name, ".") == "" {
		return nil, invalid("URL %q: it has no host", redact(s))
	}
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return nil, invalid("URL %q: port %q is not between 1 and 65535", redact(s), p)
		}
	}
	if !isHost(name) {
		return nil, invalid("URL %q: host %q is neither a name nor an IP address", redact(s), name)
	}
	u.Fragment, u.RawFragment = "", "" // never sent
	host := hostKey(name) + ":" + strconv.FormatUint(port, 10)
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return &destination{url: u, host: host, endpoint: u.Scheme + "://" + host + path}, nil
}

// isHost reports whether name is an IP address or could be a host name. Beyond ASCII it is left to the
// transport, which knows IDNA.
func isHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	for i := range len(name) {
		c := name[i]
		if c == '.' && (i == 0 || name[i-1] == '.') {
			return false // an empty label
		}
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c >= 0x80 {
			continue
		}
		return false
	}
	return true
}

// hostKey gives the spellings of one host one form.
func hostKey(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.Unmap().String()
		if strings.Contains(name, ":") {
			name = "[" + strings.Replace(name, "%", "%25", 1) + "]" // a zone as in a URL
		}
		return name
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// redact returns a URL without its user, password, query and fragment. Of what isn't a URL it shows nothing before
// the last @ either: it may be a password that made it none.
func redact(s string) string {
	if u, err := url.Parse(s); err == nil && u.Opaque == "" && u.Host != "" {
		if u.User != nil {
			return u.Scheme + "://REDACTED@" + u.Host + u.EscapedPath()
		}
		s, _, _ = strings.Cut(s, "?")
		s, _, _ = strings.Cut(s, "#")
		return s
	}
	at := strings.LastIndexByte(s, '@')
	rest := s[at+1:]
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if at >= 0 {
		return "REDACTED@" + rest
	}
	return rest
}

func redactURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// prepare checks all of m and fills in what it leaves empty. It changes nothing if it returns an error.
func (s *Sender) prepare(ctx context.Context, m *Message) (*destination, error) {
	if ctx == nil {
		return nil, invalid("context nil: use context.Background")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, invalid("message nil")
	}
	to, err := s.urls.parse(m.URL)
	if err != nil {
		return nil, err
	}
	if err := m.validate(s.config.maxPayload); err != nil {
		return nil, err
	}
	if m.ID == "" {
		m.ID = newID()
	}
	if m.CreatedAt.IsZero() {
		m.CreatedAt = time.Now()
	}
	return to, nil
}
