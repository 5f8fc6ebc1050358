package main

import (
	"bytes"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// The processes talk in lines. The one that sends tells the other what to be, as JSON (an order), and later that all
// shall recover (recoverAll). The other one answers with where its receivers are, as JSON (an address book), and then
// tells what happens, a line each.

// An order is what the receivers' process is to be.
type order struct {
	Hosts  int
	Seed   uint64
	Secret string // what the requests are signed with
	Spell  int64  // nanoseconds
}

// An addressBook says where the receivers are. Places are numbered in its order.
type addressBook struct {
	Places []placeAddress
	Root   []byte // the certificate that TLS hosts are certified by, DER
}

type placeAddress struct {
	URL  string
	Host int
	Kind int
}

const recoverAll = "recover"

// A line says that a request has arrived as a whole, or, if at is 0, that a place is of another kind now.
type line struct {
	place    int
	kind     int
	id       string
	verified bool
	sent, at int64 // nanoseconds since 1970: when the message was sent, and when the request has arrived
}

func (l line) String() string {
	if l.at == 0 {
		return fmt.Sprintf("k %d %d\n", l.place, l.kind)
	}
	return fmt.Sprintf("a %d %d %d %t %d %s\n", l.place, l.kind, l.at, l.verified, l.sent, url.PathEscape(l.id))
}

// parseLine reads a line without its end.
func parseLine(s string) (l line, err error) {
	fields := strings.Split(s, " ")
	bad := func() (line, error) { return line{}, fmt.Errorf("line %.100q", s) }
	number := func(i int) (n int64) {
		n, e := strconv.ParseInt(fields[i], 10, 64)
		if e != nil || n < 0 {
			err = fmt.Errorf("line %.100q: %q is no number", s, fields[i])
		}
		return n
	}
	switch {
	case fields[0] == "k" && len(fields) == 3:
		l.place, l.kind = int(number(1)), int(number(2))
	case fields[0] == "a" && len(fields) == 7:
		l.place, l.kind, l.at, l.sent = int(number(1)), int(number(2)), number(3), number(5)
		l.verified = fields[4] == "true"
		var e error
		if l.id, e = url.PathUnescape(fields[6]); e != nil || l.at == 0 {
			return bad()
		}
	default:
		return bad()
	}
	if err == nil && l.kind >= len(kinds) {
		return bad()
	}
	return l, err
}

// A payload begins with the time at which it was sent, in nanoseconds since 1970.
const payloadStart = `{"sent":`

// sentAt reads it, and is 0 if there is none.
func sentAt(payload []byte) int64 {
	rest, ok := bytes.CutPrefix(payload, []byte(payloadStart))
	digits, _, comma := bytes.Cut(rest, []byte(","))
	if !ok || !comma {
		return 0
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
