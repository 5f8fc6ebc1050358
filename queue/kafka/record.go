package kafka

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/wire"
)

// Headers that are the queue's own business, beside those of package wire.
const (
	headerCopy  = "signpost-copy"  // the copy of a message that is out: see copies.go
	headerMoved = "signpost-moved" // it was in another partition than its host's, and isn't moved again
)

// encode returns the record that a message is. It keeps nothing of m that the caller could change. more are headers beside
// those of the message.
func encode(topic string, m *signpost.Message, more []kgo.RecordHeader, notBefore time.Time) *kgo.Record {
	fields := wire.Encode(m, notBefore)
	r := &kgo.Record{
		Topic: topic, Partition: anyPartition, Key: []byte(m.Host()), Value: bytes.Clone(m.Payload),
		Headers: make([]kgo.RecordHeader, 0, len(fields)+len(more)),
	}
	r.Headers = appendFields(r.Headers, fields)
	r.Headers = append(r.Headers, more...)
	return r
}

func appendFields(h []kgo.RecordHeader, fields []wire.Field) []kgo.RecordHeader {
	for _, f := range fields {
		h = append(h, kgo.RecordHeader{Key: f.Name, Value: []byte(f.Value)})
	}
	return h
}

// decode returns the message that a record is, what headers it has that aren't the message's, and when it is due.
func (q *Queue) decode(r *kgo.Record) (m *signpost.Message, more []kgo.RecordHeader, notBefore time.Time, err error) {
	fields := make([]wire.Field, len(r.Headers))
	for i, h := range r.Headers {
		fields[i] = wire.Field{Name: h.Key, Value: string(h.Value)}
		if !isOurs(h.Key) {
			more = append(more, kgo.RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
		}
	}
	// The record's value is a part of a batch, which may be much larger and would stay with it.
	m, notBefore, err = wire.Decode(fields, bytes.Clone(r.Value))
	if err != nil {
		return nil, nil, time.Time{}, err
	}
	if m.ID == "" {
		m.ID = q.idOf(r)
	}
	if m.CreatedAt.IsZero() {
		m.CreatedAt = r.Timestamp
	}
	return m, more, notBefore, nil
}

// isOurs reports whether a header is written anew by who encodes a message, or must not be kept.
func isOurs(name string) bool {
	switch name {
	case wire.URL, wire.ID, wire.CreatedAt, wire.Attempts, wire.NotBefore, headerCopy, headerMoved,
		wire.Reason, wire.DiedAt, wire.LastStatus, wire.LastError:
		return true
	}
	return strings.HasPrefix(name, wire.HeaderPrefix)
}

// idOf returns an ID for a message that has none: the same whenever it is read.
func (q *Queue) idOf(r *kgo.Record) string {
	h := sha256.New()
	h.Write([]byte(q.cluster + "\x00" + r.Topic + "\x00"))
	var b [4 + 8 + 8]byte
	binary.BigEndian.PutUint32(b[:], uint32(r.Partition))
	binary.BigEndian.PutUint64(b[4:], uint64(r.Offset))
	binary.BigEndian.PutUint64(b[12:], uint64(r.Timestamp.UnixMilli())) // a topic may be deleted and created again
	h.Write(b[:])
	return "msg_" + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// header returns the value of a record's header, or "".
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// without returns a record's headers save those that are only of use where it is.
func without(r *kgo.Record, names ...string) []kgo.RecordHeader {
	kept := make([]kgo.RecordHeader, 0, len(r.Headers)+4)
next:
	for _, h := range r.Headers {
		for _, n := range names {
			if h.Key == n {
				continue next
			}
		}
		kept = append(kept, h)
	}
	return kept
}

// sizeOf is how many bytes a record has, about: Kafka adds some for itself, for which there is room.
func sizeOf(r *kgo.Record) int {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}
