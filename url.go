package signpost

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// maxURL is how long a URL may be, in bytes.
const maxURL = 8 << 10

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
	if !isASCII(name) {
		ascii, ok := asciiHost(name)
		if !ok {
			return nil, invalid("URL %q: host %q is no internationalized domain name", redact(s), name)
		}
		u.Host = ascii + strings.TrimPrefix(u.Host, name)
		name = ascii
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

// asciiHost returns the name that net/http looks up for a host beyond ASCII, so that the host has one key in all its
// spellings. The IDNA tables behind it (RFC 5891, UTS 46) are net/http's own, so a transport that doesn't dial is asked
// what it would dial.
func asciiHost(name string) (ascii string, ok bool) {
	if !utf8.ValidString(name) {
		return "", false
	}
	asked := http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return nil, dialed(address) }}
	_, err := asked.RoundTrip(&http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: name}, Header: http.Header{}})
	var address dialed
	if !errors.As(err, &address) {
		return "", false
	}
	ascii, _, err = net.SplitHostPort(string(address))
	return ascii, err == nil && ascii != "" && isASCII(ascii)
}

// dialed is an address as an error: the answer of asciiHost's transport.
type dialed string

func (d dialed) Error() string { return string(d) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isHost reports whether name is an IP address or could be a host name. It requires that name is ASCII.
func isHost(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	for i := range len(name) {
		c := name[i]
		if c == '.' && (i == 0 || name[i-1] == '.') {
			return false // an empty label
		}
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' {
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

// redactText redacts every URL in a text, and what else of u's query stands in it. u may be nil.
func redactText(text string, u *url.URL) string {
	var b strings.Builder
	for {
		at := strings.Index(text, "://")
		if at < 0 {
			b.WriteString(text)
			break
		}
		begin := at
		for begin > 0 && isSchemeByte(text[begin-1]) {
			begin--
		}
		end := at
		for end < len(text) && text[end] > ' ' && (text[end] != '"' || text[end-1] == '\\') {
			end++
		}
		b.WriteString(text[:begin])
		b.WriteString(redact(text[begin:end]))
		text = text[end:]
	}
	text = b.String()
	if u == nil {
		return text
	}
	hidden := []string{u.RawQuery}
	for _, values := range u.Query() {
		hidden = append(hidden, values...)
	}
	for _, s := range hidden {
		if len(s) >= minHidden {
			text = strings.ReplaceAll(text, s, redacted)
		}
	}
	return text
}

// minHidden is how long a part of a query must be to be looked for outside of URLs: less is no secret, and
// without it the text would be unreadable.
const minHidden = 5

func isSchemeByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'
}

func redactURL(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// destinations remembers what URLs say, since most messages go where others went before. The zero value is
// ready. It is safe for concurrent use.
type destinations struct {
	mu    sync.RWMutex
	known map[string]*destination
}

// maxDestinations bounds what is remembered: beyond it all is forgotten, and learned again.
const maxDestinations = 4096

// parse is parseURL with a memory.
func (d *destinations) parse(url string) (*destination, error) {
	d.mu.RLock()
	to := d.known[url]
	d.mu.RUnlock()
	if to != nil {
		return to, nil
	}
	to, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxDestinations {
		d.known = make(map[string]*destination)
	}
	d.known[url] = to
	return to, nil
}
