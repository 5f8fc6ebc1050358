package sqlite

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signpost-go/signpost"
)

// A row is a message as it stands in the file.
type row struct {
	number                 int64
	id, url, header        string
	payload                []byte
	attempts               int
	due, created, accepted int64
	redelivered            sql.NullInt64
	checksum               int64
}

// validate refuses what the file can't keep as it is. What can't be sent is none of its business: the dispatcher will
// say so.
func validate(m *signpost.Message) error {
	switch {
	case m == nil:
		return errors.New("message nil")
	case m.ID == "":
		return errors.New("its ID is empty; give it one")
	case m.Attempts < 0:
		return fmt.Errorf("attempts %d; give 0 or more", m.Attempts)
	}
	for key, values := range m.Header {
		if key == "" || strings.ContainsAny(key, ":\r\n\x00") {
			return fmt.Errorf("header name %q; it can't be empty, nor have colons or line breaks", key)
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return fmt.Errorf("header %s: a line break or zero byte in %q; leave it out", key, v)
			}
		}
	}
	return nil
}

// formatHeader writes a line for each value, as HTTP/1 does (RFC 9112, section 5), but with values byte for byte.
func formatHeader(h http.Header) string {
	if len(h) == 0 {
		return ""
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[key] {
			b.WriteString(key + ": " + v + "\n")
		}
	}
	return b.String()
}

func parseHeader(s string) (http.Header, error) {
	if s == "" {
		return nil, nil
	}
	h := http.Header{}
	for line := range strings.Lines(s) {
		key, value, ok := strings.Cut(line, ": ")
		if !ok || key == "" || !strings.HasSuffix(value, "\n") {
			return nil, fmt.Errorf("header line %q", line)
		}
		h[key] = append(h[key], strings.TrimSuffix(value, "\n"))
	}
	return h, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C (RFC 3720, appendix B.4) of what a message says, each part behind its length. SQLite has none
// of its own for what is in the file.
func checksum(id, url, header string, payload []byte, created int64) int64 {
	var sum uint32
	var size [8]byte
	for _, part := range [...]string{id, url, header} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		sum = crc32.Update(sum, castagnoli, size[:])
		sum = crc32.Update(sum, castagnoli, []byte(part))
	}
	binary.BigEndian.PutUint64(size[:], uint64(created))
	sum = crc32.Update(sum, castagnoli, size[:])
	return int64(crc32.Update(sum, castagnoli, payload))
}

// message returns the message that r was made of, or why it can't be the one.
func (r *row) message() (signpost.Message, error) {
	if sum := checksum(r.id, r.url, r.header, r.payload, r.created); sum != r.checksum {
		return signpost.Message{}, fmt.Errorf("checksum %08x instead of %08x", sum, r.checksum)
	}
	if r.redelivered.Valid && r.redelivered.Int64 < r.accepted {
		return signpost.Message{}, fmt.Errorf("redelivered_at %d before accepted_at %d", r.redelivered.Int64, r.accepted)
	}
	header, err := parseHeader(r.header)
	if err != nil {
		return signpost.Message{}, err
	}
	created := r.created
	if r.redelivered.Valid {
		created = r.redelivered.Int64
	}
	return signpost.Message{
		ID: r.id, URL: r.url, Payload: r.payload, Header: header, CreatedAt: time.UnixMilli(created), Attempts: r.attempts,
	}, nil
}
