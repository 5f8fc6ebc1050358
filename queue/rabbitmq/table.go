package rabbitmq

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/wire"
)

// copyHeader is the header that tells one publication from another, of the same message too. It has one when this package has
// published it, so that a message that the broker delivers again is known for what it is.
const copyHeader = "x-signpost-copy"

// copies names publications.
type copies struct {
	instance string
	n        atomic.Uint64
}

func newCopies() *copies {
	var random [12]byte
	rand.Read(random[:]) // never fails
	return &copies{instance: hex.EncodeToString(random[:])}
}

func (c *copies) next() string { return c.instance + "-" + strconv.FormatUint(c.n.Add(1), 36) }

// publishing returns what m is at the broker.
func publishing(m *signpost.Message, fields []wire.Field, copyID string) (amqp.Publishing, error) {
	if len(m.ID) > maxShort {
		return amqp.Publishing{}, fmt.Errorf("%w: ID %.20q… has %d bytes; AMQP takes %d", ErrRefused, m.ID, len(m.ID), maxShort)
	}
	table, err := table(fields)
	if err != nil {
		return amqp.Publishing{}, err
	}
	table[copyHeader] = copyID
	p := amqp.Publishing{
		Headers: table, ContentType: "application/json", DeliveryMode: amqp.Persistent, MessageId: m.ID, Body: m.Payload,
	}
	if !m.CreatedAt.IsZero() && m.CreatedAt.Unix() > 0 {
		p.Timestamp = m.CreatedAt
	}
	return p, nil
}

// maxShort is how long a header's name, or a property, may be (AMQP 0-9-1, section 4.2.5.3).
const maxShort = 255

// table returns headers as a table, in which a name that comes several times has an array.
func table(fields []wire.Field) (amqp.Table, error) {
	t := make(amqp.Table, len(fields)+1)
	for _, f := range fields {
		if len(f.Name) > maxShort {
			return nil, fmt.Errorf("%w: header %.40q… has a name of %d bytes; AMQP takes %d", ErrRefused, f.Name, len(f.Name), maxShort)
		}
		switch old := t[f.Name].(type) {
		case nil:
			t[f.Name] = f.Value
		case string:
			t[f.Name] = []any{old, f.Value}
		case []any:
			t[f.Name] = append(old, f.Value)
		}
	}
	return t, nil
}

// fields returns the headers in a table that anybody may have written.
func fields(t amqp.Table) []wire.Field {
	all := make([]wire.Field, 0, len(t))
	for name, value := range t {
		if values, ok := value.([]any); ok {
			for _, v := range values {
				all = append(all, wire.Field{Name: name, Value: text(v)})
			}
			continue
		}
		all = append(all, wire.Field{Name: name, Value: text(value)})
	}
	return all
}

// text returns a header's value as text. Client libraries send numbers and times as such.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return wire.FormatTime(v)
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// parse returns the message that was delivered, and when it may be tried. What its headers lack it takes from the properties
// of the same meaning.
func parse(d *amqp.Delivery) (m *signpost.Message, notBefore time.Time, err error) {
	m, notBefore, err = wire.Decode(fields(d.Headers), d.Body)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(m.ID) > maxShort { // it couldn't be published onward
		return nil, time.Time{}, fmt.Errorf("header id: %.20q… has %d bytes; give %d at most", m.ID, len(m.ID), maxShort)
	}
	if m.ID == "" {
		m.ID = d.MessageId
	}
	if m.CreatedAt.IsZero() {
		m.CreatedAt = d.Timestamp
	}
	return m, notBefore, nil
}

// copyOf returns the name of the publication that was delivered, or "".
func copyOf(t amqp.Table) string {
	name, _ := t[copyHeader].(string)
	return name
}

// buried returns what was delivered as a dead letter: as it was, with the reason beside it. What would have the broker send it
// elsewhere, drop it after a while or refuse it is left out.
func buried(d *amqp.Delivery, why error, died time.Time, copyID string) amqp.Publishing {
	t := amqp.Table{}
	for name, value := range d.Headers {
		switch name {
		case "CC", "BCC", "x-death": // https://www.rabbitmq.com/docs/sender-selected
		default:
			t[name] = value
		}
	}
	for _, f := range wire.EncodeDead(signpost.Outcome{Reason: why}, died) {
		t[f.Name] = f.Value
	}
	t[copyHeader] = copyID
	return amqp.Publishing{
		Headers: t, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: amqp.Persistent,
		CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, MessageId: d.MessageId, Timestamp: d.Timestamp,
		Type: d.Type, AppId: d.AppId,
		Body: d.Body,
	}
}

// headSize is how many bytes the header frame of a publication has at most. A frame that is larger than was agreed ends the
// connection (AMQP 0-9-1, section 4.2.3).
func headSize(p *amqp.Publishing) int {
	const rest = 8 + 14 + 4 + 64 // the frame's ends, the content header, the table's length, and small properties
	return rest + fieldSize(p.Headers) + len(p.ContentType) + len(p.ContentEncoding) + len(p.CorrelationId) + len(p.ReplyTo) +
		len(p.MessageId) + len(p.Type) + len(p.AppId)
}

func fieldSize(value any) int {
	switch v := value.(type) {
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case []any:
		n := 5
		for _, e := range v {
			n += fieldSize(e)
		}
		return n
	case amqp.Table:
		n := 5
		for name, e := range v {
			n += 1 + len(name) + fieldSize(e)
		}
		return n
	}
	return 9
}
