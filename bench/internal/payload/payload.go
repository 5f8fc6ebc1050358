// Package payload makes and reads what is sent: JSON documents of an exact size that bear a number.
package payload

import (
	"bytes"
	"fmt"
	"strconv"
)

const (
	head   = `{"id":`
	digits = 10
	middle = `,"data":"`
	tail   = `"}`
	first  = 1_000_000_000 // is added to the number, so that it has all digits and the size doesn't change
)

// Smallest is the least size of a payload, Most the number that all are below.
const (
	Smallest = len(head) + digits + len(middle) + len(tail)
	Most     = 9 * first
)

// A Payload is a JSON document. Its bytes change when it is numbered.
type Payload []byte

// New returns a payload of size bytes, at least Smallest, with number 0.
func New(size int) Payload {
	data := bytes.Repeat([]byte("x"), max(0, size-Smallest))
	return fmt.Appendf(nil, "%s%d%s%s%s", head, first, middle, data, tail)
}

// Number numbers the payload. The number is below Most.
func (p Payload) Number(n int) {
	strconv.AppendInt(p[len(head):len(head)], int64(first+n), 10)
}

// Number reads the number of a payload.
func Number(body []byte) (int, error) {
	if rest, ok := bytes.CutPrefix(body, []byte(head)); ok && len(rest) > digits {
		if n, err := strconv.Atoi(string(rest[:digits])); err == nil && n >= first {
			return n - first, nil
		}
	}
	return 0, fmt.Errorf("payload %.40q: it doesn't begin with %s and a number of %d digits", body, head, digits)
}
