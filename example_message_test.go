package signpost_test

import (
	"fmt"

	"github.com/signpost-go/signpost"
)

// Different URLs may stand for one endpoint, and different endpoints belong to one host.
func ExampleMessage_Endpoint() {
	for _, url := range []string{
		"https://example.com/hooks/1?key=2",
		"HTTPS://Example.COM.:443/hooks/1#top",
		"https://example.com/hooks/2",
		"http://[2001:DB8:0::1]:8080",
		"ftp://example.com/",
	} {
		m := &signpost.Message{URL: url}
		fmt.Printf("%q %q\n", m.Host(), m.Endpoint())
	}
	// Output:
	// "example.com:443" "https://example.com:443/hooks/1"
	// "example.com:443" "https://example.com:443/hooks/1"
	// "example.com:443" "https://example.com:443/hooks/2"
	// "[2001:db8::1]:8080" "http://[2001:db8::1]:8080/"
	// "" ""
}
