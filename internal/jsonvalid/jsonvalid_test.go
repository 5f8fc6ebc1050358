package jsonvalid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

var documents = []string{
	``, ` `, `{}`, `[]`, ` [ ] `, `{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"b":[1,2,{"c":null}]}`,
	`[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `{`, `}`, `[}`, `{]`, `[[]]`, `[{}]`, `{"a":{}}`, `{}{}`, `[]x`,
	`true`, `false`, `null`, `tru`, `truex`, `nul`, `True`, `n`, `t`,
	`0`, `-0`, `-`, `+1`, `01`, `1.`, `.1`, `1.5`, `1e5`, `1E+5`, `1e-5`, `1e`, `1e+`, `1.e5`, `-1.25e10`, `0x1`, `1_000`, `NaN`, `Infinity`, `1 `, "1\n",
	`""`, `"a"`, `"`, `"a`, `"\"`, `"\\"`, `"\""`, `"\/\b\f\n\r\t"`, `"\u0041"`, `"\u00zz"`, `"\u004"`, `"\x"`, `"\`, `"\u`,
	"\"\x00\"", "\"\x1f\"", "\"\n\"", "\"\x7f\"", "\"\xff\"", "\"\u2028\"", `"ä😀"`, `'a'`,
	"\ufeff{}", "\v1", "\u00a01", "\t\r\n 1 \t\r\n", "/**/1", "1//",
	`"12345678"`, `"1234567"`, `"123456789012345"`, `"1234567\n1234567"`, "\"1234567\n\"", "\"12345678\x01\"", `"12345678\\12345678\""`,
	strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
	strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001),
	strings.Repeat("[", 10_000) + "{}" + strings.Repeat("]", 10_000), strings.Repeat("[", 100),
}

func TestValid(t *testing.T) {
	for _, d := range documents {
		assert.Equal(t, json.Valid([]byte(d)), Valid([]byte(d)), "%.80q", d)
	}
	// Every byte at every place of a string of two words and a bit.
	for i := range 18 {
		for c := range 256 {
			d := []byte(`"` + strings.Repeat("x", 18) + `"`)
			d[1+i] = byte(c)
			assert.Equal(t, json.Valid(d), Valid(d), "%q", d)
		}
	}
}

// A long string is searched in stretches and words: no byte that matters may hide where one of them ends.
func TestBytesInLongStrings(t *testing.T) {
	for _, length := range []int{7, 31, 32, 33, 40, 63, 64, 65, 543, 544, 545, 600, 1056, 1100} {
		for _, inserted := range []string{"\x00", "\x1f", " ", "\x7f", "\x80", "\xff", `"`, `\`, `\n`, `\"`, `\u00e9`, `\u00g9`, "é", "\n"} {
			for at := range length {
				b := []byte(`"` + strings.Repeat("x", at) + inserted + strings.Repeat("y", length-at) + `"`)
				if want := json.Valid(b); Valid(b) != want {
					t.Fatalf("%q after %d of %d bytes: encoding/json says %v", inserted, at, length, want)
				}
				if b = b[:len(b)-1]; Valid(b) != json.Valid(b) {
					t.Fatalf("%q after %d of %d bytes, without the closing quote: encoding/json says %v", inserted, at, length, json.Valid(b))
				}
			}
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, d := range documents {
		if len(d) < 100 {
			f.Add([]byte(d))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if want := json.Valid(b); Valid(b) != want {
			t.Fatalf("%q: encoding/json says %v", b, want)
		}
	})
}

func BenchmarkValid(b *testing.B) {
	text := fmt.Appendf(nil, `{"data":"%s"}`, bytes.Repeat([]byte("x"), 1024-11))
	mixed := []byte("[" + strings.Repeat(`{"id":37429269,"name":"main","public":true,"url":"https://api.example/repos/1","at":null},`, 11) + "1]")
	for _, c := range []struct {
		name  string
		valid func([]byte) bool
		doc   []byte
	}{
		{"text", Valid, text}, {"text, encoding-json", json.Valid, text},
		{"mixed", Valid, mixed}, {"mixed, encoding-json", json.Valid, mixed},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.doc)))
			b.ReportAllocs()
			for b.Loop() {
				if !c.valid(c.doc) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
