package sqlite

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestHeaderText(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header http.Header
		text   string
	}{
		{name: "none", header: nil, text: ""},
		{name: "one", header: http.Header{"A": {"b"}}, text: "A: b\n"},
		{name: "several values", header: http.Header{"B": {"1", "", "2"}, "A": {" x "}}, text: "A:  x \nB: 1\nB: \nB: 2\n"},
		{name: "colons", header: http.Header{"A": {": b: c"}}, text: "A: : b: c\n"},
		{name: "spellings", header: http.Header{"X-A": {"1"}, "x-a": {"2"}}, text: "X-A: 1\nx-a: 2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.text, formatHeader(tt.header))
			h, err := parseHeader(tt.text)
			require.NoError(t, err)
			assert.Equal(t, tt.header, h)
		})
	}
	for _, bad := range []string{"A", "A: b", "A:b\n", ": b\n", "A: b\n\n", "\n"} {
		_, err := parseHeader(bad)
		assert.Error(t, err, "%q", bad)
	}
}

// Every part counts, and so does where one ends and the next begins.
func TestChecksum(t *testing.T) {
	sum := checksum("id", "url", "header", []byte("payload"), 1)
	for name, other := range map[string]int64{
		"id":      checksum("iD", "url", "header", []byte("payload"), 1),
		"url":     checksum("id", "urL", "header", []byte("payload"), 1),
		"header":  checksum("id", "url", "headeR", []byte("payload"), 1),
		"payload": checksum("id", "url", "header", []byte("payloaD"), 1),
		"created": checksum("id", "url", "header", []byte("payload"), 2),
		"limits":  checksum("idu", "rl", "header", []byte("payload"), 1),
	} {
		assert.NotEqual(t, sum, other, name)
	}
	assert.EqualValues(t, uint32(sum), sum, "it fits into 32 bits")
}

// A header that is accepted comes back as it was.
func FuzzHeader(f *testing.F) {
	f.Add("X-A", "b", "c")
	f.Add("a: b", "", "")
	f.Add("A", "a\r\nB: c", "")
	f.Add("", "x", "\x00")
	f.Add("Ä ", " : ", "\t\u2028\x85")
	f.Add("A", "\n", "B: c\n")
	f.Fuzz(func(t *testing.T, key, first, second string) {
		h := http.Header{key: {first, second}, "Z": {second}}
		text := formatHeader(h)
		got, err := parseHeader(text)
		if validate(&signpost.Message{ID: "a", Header: h}) != nil {
			return
		}
		if err != nil || len(got) != len(h) {
			t.Fatalf("%q is accepted, and read as %q: %v", h, got, err)
		}
		for k, values := range h {
			if strings.Join(got[k], "\n") != strings.Join(values, "\n") {
				t.Fatalf("%q is accepted, and read as %q", h, got)
			}
		}
	})
}
