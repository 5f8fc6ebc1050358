// Package wire is the form that a message has at a broker, open to producers in any language: the body is the payload, and
// headers say the rest. docs/wire.md is its description.
package wire

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-go/signpost"
)

// The names of the headers. They are compared byte for byte.
const (
	URL       = "url"        // required
	ID        = "id"         // webhook-id; without one the queue gives one
	CreatedAt = "created-at" // RFC 3339
	Attempts  = "attempts"   // made so far, decimal; missing: 0
	NotBefore = "not-before" // RFC 3339: no attempt before

	// HeaderPrefix stands before the name of a header that is sent to the receiver. What has no prefix never is: the
	// headers that brokers, and libraries for tracing, put on messages are none of the receiver's business.
	HeaderPrefix = "header-"
)

// The names of headers that a dead letter has beside them.
const (
	Reason     = "reason"      // why it is dead
	DiedAt     = "died-at"     // RFC 3339
	LastStatus = "last-status" // of the last attempt's response, decimal; missing: there was none
	LastError  = "last-error"  // of the last attempt; missing: there was a response
)

// A Field is one header of a message on the wire. A name with HeaderPrefix may come several times, in order.
type Field struct{ Name, Value string }

// Encode returns the headers for m. A notBefore that is zero is left out, as are an empty ID and the zero creation time.
// Names and values of m's own headers are kept byte for byte.
func Encode(m *signpost.Message, notBefore time.Time) []Field {
	fields := make([]Field, 0, 5+len(m.Header))
	fields = append(fields, Field{URL, m.URL})
	if m.ID != "" {
		fields = append(fields, Field{ID, m.ID})
	}
	if !m.CreatedAt.IsZero() {
		fields = append(fields, Field{CreatedAt, FormatTime(m.CreatedAt)})
	}
	if m.Attempts != 0 {
		fields = append(fields, Field{Attempts, strconv.Itoa(m.Attempts)})
	}
	if !notBefore.IsZero() {
		fields = append(fields, Field{NotBefore, FormatTime(notBefore)})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, v := range m.Header[name] {
			fields = append(fields, Field{HeaderPrefix + name, v})
		}
	}
	return fields
}

// EncodeDead returns the headers that a dead letter has beside those of Encode, with what o and its attempt say.
func EncodeDead(o signpost.Outcome, died time.Time) []Field {
	fields := []Field{{DiedAt, FormatTime(died)}}
	if o.Reason != nil {
		fields = append(fields, Field{Reason, o.Reason.Error()})
	}
	if o.Attempt.StatusCode != 0 {
		fields = append(fields, Field{LastStatus, strconv.Itoa(o.Attempt.StatusCode)})
	}
	if o.Attempt.Err != nil {
		fields = append(fields, Field{LastError, o.Attempt.Err.Error()})
	}
	return fields
}

// Decode returns the message that fields and payload are, and the time before which it must not be tried, which is zero if
// there is none. The ID is "" and the creation time zero if they are missing. Names that it doesn't know are left alone.
//
// An error says what is wrong with which header. Whether URL, ID, header and payload can be sent is the dispatcher's to judge.
func Decode(fields []Field, payload []byte) (m *signpost.Message, notBefore time.Time, err error) {
	m = &signpost.Message{Payload: payload}
	seen := map[string]bool{}
	for _, f := range fields {
		if name, ok := strings.CutPrefix(f.Name, HeaderPrefix); ok {
			if m.Header == nil {
				m.Header = http.Header{}
			}
			m.Header[name] = append(m.Header[name], f.Value)
			continue
		}
		known := true
		switch f.Name {
		case URL:
			m.URL = f.Value
		case ID:
			m.ID = f.Value
		case CreatedAt:
			m.CreatedAt, err = parseTime(f)
		case Attempts:
			m.Attempts, err = parseAttempts(f)
		case NotBefore:
			notBefore, err = parseTime(f)
		default:
			known = false
		}
		if known && seen[f.Name] {
			err = fmt.Errorf("header %s: it is there twice; give it once", f.Name)
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		seen[f.Name] = true
	}
	if m.URL == "" {
		return nil, time.Time{}, errors.New("header url: it is missing; give the URL that the message goes to")
	}
	return m, notBefore, nil
}

func parseTime(f Field) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(f.Value)) // "t" and "z" are as good (RFC 3339, section 5.6)
	if err != nil || t.Before(earliest) || t.After(latest) {
		return time.Time{}, fmt.Errorf("header %s: %s is no time as in RFC 3339; give one such as 2026-01-31T12:00:00.5Z", f.Name, excerpt(f.Value))
	}
	return t, nil
}

func parseAttempts(f Field) (int, error) {
	n, err := strconv.ParseInt(f.Value, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("header %s: %s is no count; give 0 or more", f.Name, excerpt(f.Value))
	}
	return int(n), nil
}

func excerpt(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("%q…", s[:40])
	}
	return strconv.Quote(s)
}

// RFC 3339 has years of four digits; the zero time is none.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

// FormatTime returns t as it stands on the wire. What is before the year 1 is its beginning, what is after 9999 its end.
func FormatTime(t time.Time) string {
	if t.Before(earliest) {
		t = earliest
	} else if t.After(latest) {
		t = latest
	}
	return t.UTC().Format(time.RFC3339Nano)
}
