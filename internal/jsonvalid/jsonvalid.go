// Package jsonvalid tells whether bytes are a JSON document, as [encoding/json.Valid] does, in a fraction of its time.
//
// Every payload is checked before it is queued. For 1 KiB that cost more than everything else that Send does
// together; see BenchmarkValid for both. FuzzValid holds it to encoding/json's answer.
package jsonvalid

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxDepth is how deep objects and arrays may be nested, as in encoding/json.
const maxDepth = 10_000

// Valid reports whether b is one JSON document (RFC 8259) with nothing around it but whitespace. Like encoding/json it
// doesn't ask whether strings are UTF-8.
func Valid(b []byte) bool {
	var room [64]byte
	open := room[:0] // the brackets that are open, '{' or '['
	i := 0
	for {
		// A value begins at i.
		i = space(b, i)
		if i == len(b) {
			return false
		}
		switch c := b[i]; c {
		case '{', '[':
			if len(open) == maxDepth {
				return false
			}
			next := space(b, i+1)
			if next < len(b) && b[next] == c+2 { // both closing brackets come two after their opening ones
				i = next + 1
				break
			}
			open = append(open, c)
			if c == '[' {
				i = next
				continue
			}
			if i = name(b, next); i < 0 {
				return false
			}
			continue
		case '"':
			i = text(b, i+1)
		case 't':
			i = word(b, i, "true")
		case 'f':
			i = word(b, i, "false")
		case 'n':
			i = word(b, i, "null")
		default:
			i = number(b, i)
		}
		if i < 0 {
			return false
		}
		// A value has ended before i: close what ends with it.
		for {
			i = space(b, i)
			if len(open) == 0 {
				return i == len(b)
			}
			if i == len(b) {
				return false
			}
			bracket := open[len(open)-1]
			if b[i] == bracket+2 {
				open = open[:len(open)-1]
				i++
				continue
			}
			if b[i] != ',' {
				return false
			}
			i++
			if bracket == '{' {
				if i = name(b, i); i < 0 {
					return false
				}
			}
			break
		}
	}
}

// space returns where whitespace that begins at i ends. The functions below do the same for other things, and return -1 if
// they aren't there.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// name is a member's name and its colon, with whitespace before either.
func name(b []byte, i int) int {
	i = space(b, i)
	if i == len(b) || b[i] != '"' {
		return -1
	}
	if i = text(b, i+1); i < 0 {
		return -1
	}
	i = space(b, i)
	if i == len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

// text is the rest of a string, after its opening quote.
func text(b []byte, i int) int {
	for {
		i = plain(b, i)
		if i == len(b) {
			return -1
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i = escape(b, i+1); i < 0 {
				return -1
			}
		default:
			i++
		}
	}
}

// plain returns where the first byte stands, from i on, that is a quote, a backslash or a control character; or a byte
// before it near the end of b.
func plain(b []byte, i int) int {
	for range 4 { // most strings end within a few words
		if len(b)-i < 8 {
			return i
		}
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	// A long string is searched a stretch at a time: bytes.IndexByte looks at 32 bytes at once.
	for {
		w := b[i:min(i+512, len(b))]
		whole := len(w)
		if at := bytes.IndexByte(w, '"'); at >= 0 {
			w = w[:at]
		}
		if at := bytes.IndexByte(w, '\\'); at >= 0 {
			w = w[:at]
		}
		n := printable(w)
		if i += n; n < whole || i == len(b) {
			return i
		}
	}
}

// printable returns where the first control character stands in w; len(w) if there is none.
func printable(w []byte) int {
	i := 0
	for ; len(w)-i >= 32; i += 32 { // one branch for four words
		v := w[i:][:32]
		if (control(binary.LittleEndian.Uint64(v))|control(binary.LittleEndian.Uint64(v[8:]))|
			control(binary.LittleEndian.Uint64(v[16:]))|control(binary.LittleEndian.Uint64(v[24:])))&high != 0 {
			break
		}
	}
	for ; len(w)-i >= 8; i += 8 {
		if m := control(binary.LittleEndian.Uint64(w[i:])) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(w) && w[i] >= ' ' {
		i++
	}
	return i
}

const ones, high = 0x0101010101010101, 0x8080808080808080

// special has a bit set for the first byte of w that is a quote, a backslash or a control character, and perhaps for
// later bytes: the subtraction's borrow only goes up. ("Bit Twiddling Hacks", S. E. Anderson: determine if a word
// has a byte less than n.)
func special(w uint64) uint64 {
	quote, backslash := w^'"'*ones, w^'\\'*ones
	return (control(w) | (quote-ones)&^quote | (backslash-ones)&^backslash) & high
}

// control is special for control characters alone, other bits aside.
func control(w uint64) uint64 { return (w - ' '*ones) &^ w }

// escape is what follows a backslash.
func escape(b []byte, i int) int {
	if i == len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if len(b)-i < 5 {
			return -1
		}
		for _, c := range b[i+1 : i+5] {
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
				return -1
			}
		}
		return i + 5
	}
	return -1
}

func word(b []byte, i int, w string) int {
	if len(b)-i < len(w) || string(b[i:i+len(w)]) != w {
		return -1
	}
	return i + len(w)
}

func number(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = digits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = digits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digits(b, i)
	}
	return i
}

// digits is one digit or more.
func digits(b []byte, i int) int {
	first := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == first {
		return -1
	}
	return i
}
