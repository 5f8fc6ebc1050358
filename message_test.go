package signpost_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A message's host is the one that HostStats names, and its endpoint belongs to no other.
func TestHostAndEndpoint(t *testing.T) {
	for url, want := range map[string][2]string{
		"http://a.example":                         {"a.example:80", "http://a.example:80/"},
		"HTTPS://A.Example.:443/Hook?secret=1#top": {"a.example:443", "https://a.example:443/Hook"},
		"http://a.example:443/":                    {"a.example:443", "http://a.example:443/"},
		"https://bücher.example/ä":                 {"xn--bcher-kva.example:443", "https://xn--bcher-kva.example:443/%C3%A4"},
		"http://[::FFFF:192.0.2.1]:8080/a%2Fb":     {"192.0.2.1:8080", "http://192.0.2.1:8080/a%2Fb"},
		"http://[2001:db8:0::1]/":                  {"[2001:db8::1]:80", "http://[2001:db8::1]:80/"},
	} {
		m := &signpost.Message{URL: url}
		assert.Equal(t, want, [2]string{m.Host(), m.Endpoint()}, url)
		synctest.Test(t, func(t *testing.T) {
			d, w, _ := start(t)
			w.set(always(reply{takes: -1}))
			send(t, d, url)
			require.Len(t, d.Hosts(), 1)
			assert.Equal(t, d.Hosts()[0].Host, m.Host(), url)
		})
	}
	for _, url := range []string{
		"", "a.example", "ftp://a.example/", "http:///", "http://me:secret@a.example/", "http://a.example:0/", strings.Repeat("x", 10_000),
	} {
		m := &signpost.Message{URL: url}
		assert.Empty(t, m.Host()+m.Endpoint(), "%.30q", url)
	}
}
