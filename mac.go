package signpost

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
	"time"
)

// A mac computes HMAC-SHA256 (RFC 2104) with one key. Its hashes are kept and reset: to key one anew costs as
// much as to hash 128 bytes.
type mac struct {
	key  *sealed
	pool sync.Pool // of *hasher
}

// A hasher is a hash, and room for what goes in and comes out of it that would be allocated each time otherwise:
// hash.Hash is an interface, so the compiler must assume that it keeps what it is given.
type hasher struct {
	hash.Hash
	head []byte
	sum  []byte
}

func newMAC(key []byte) *mac {
	m := &mac{key: seal(append([]byte(nil), key...))}
	m.pool.New = func() any { return &hasher{Hash: hmac.New(sha256.New, m.key.open())} }
	return m
}

// sum returns the HMAC of head and body, as if they were one.
func (m *mac) sum(head, body []byte) (sum [sha256.Size]byte) {
	h := m.pool.Get().(*hasher)
	h.Reset()
	h.head = append(h.head[:0], head...)
	h.Write(h.head)
	h.Write(body)
	return m.end(h)
}

// sumParts returns the HMAC of parts, as if they were one.
func (m *mac) sumParts(parts []Part, msg *Message, t time.Time) (sum [sha256.Size]byte) {
	h := m.pool.Get().(*hasher)
	h.Reset()
	for _, p := range parts {
		if p == Body { // it may be large: hashed where it is
			h.Write(msg.Payload)
			continue
		}
		h.head = p.appendTo(h.head[:0], msg, t)
		h.Write(h.head)
	}
	return m.end(h)
}

func (m *mac) end(h *hasher) (sum [sha256.Size]byte) {
	h.sum = h.Sum(h.sum[:0])
	copy(sum[:], h.sum)
	m.pool.Put(h)
	return sum
}

// A sealed key is behind a function. With a verb that doesn't fit, package fmt shows what is in the
// unexported fields of a struct, pointers followed, where it can't call Format; of a function it shows only
// the address.
type sealed struct{ open func() []byte }

func seal(key []byte) *sealed { return &sealed{func() []byte { return key }} }
