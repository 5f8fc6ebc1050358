package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
)

// The metadata of a committed offset say which offsets beyond it are finished. Kafka keeps a text with every commit, of 4,096
// characters unless the broker's offset.metadata.max.bytes says otherwise. Ours is a version, "1", and base64url of a bitmap
// whose bit n (of byte n/8, the lowest first) stands for the committed offset + n. The bitmap is written in pieces, each headed
// by a varint of its length in bytes times four and its kind: all zeros, all ones, or as it is, in which case the bytes
// follow. So a long wait costs a few bytes, and messages that end in any order a bit each. Where nothing is finished beyond
// the offset there is no text.
const version = "1"

const (
	zeros = iota
	ones
	literal
)

// maxBits is how far beyond a committed offset metadata are believed to reach.
const maxBits = 1 << 40

var textEncoding = base64.RawURLEncoding.Strict()

// fitDone returns the metadata for those of done that fit into so many characters, the lowest first, and the offset before
// which none is left out.
func fitDone(base int64, done spans, most int) (metadata string, through int64) {
	metadata = encodeDone(base, done)
	if len(metadata) <= most {
		return metadata, math.MaxInt64
	}
	n := sort.Search(len(done), func(n int) bool { return len(encodeDone(base, done[:n+1])) > most })
	return encodeDone(base, done[:n]), done[n].from
}

func encodeDone(base int64, done spans) string {
	if len(done) == 0 {
		return ""
	}
	var e encoder
	for _, s := range done {
		e.add(s.from-base, s.to-base)
	}
	if e.last != 0 {
		e.byte(e.last)
	}
	e.flush()
	return version + textEncoding.EncodeToString(e.out)
}

// An encoder writes a bitmap.
type encoder struct {
	out  []byte
	raw  []byte // bytes that are as they are, not written to out yet
	at   int64  // the index of last
	last byte   // not written to raw yet
}

// add sets the bits from one to before another. They are higher than all before.
func (e *encoder) add(from, to int64) {
	for from < to {
		if at := from / 8; at != e.at {
			if e.last != 0 {
				e.byte(e.last)
				e.at++
			}
			e.run(zeros, at-e.at)
			e.at, e.last = at, 0
		}
		if n := (to - from) / 8; from%8 == 0 && n > 0 {
			e.run(ones, n)
			e.at, from = e.at+n, from+8*n
			continue
		}
		e.last |= 1 << (from % 8)
		from++
	}
}

func (e *encoder) byte(b byte) {
	if b == 0xff {
		e.run(ones, 1)
	} else {
		e.raw = append(e.raw, b)
	}
}

// run writes n bytes that are all zeros or all ones. Few of them are not worth a piece of their own.
func (e *encoder) run(kind uint64, n int64) {
	switch {
	case n == 0:
	case n <= 2 && len(e.raw) > 0:
		for range n {
			e.raw = append(e.raw, byte(-int8(kind)))
		}
	default:
		e.flush()
		e.out = binary.AppendUvarint(e.out, uint64(n)<<2|kind)
	}
}

func (e *encoder) flush() {
	if len(e.raw) > 0 {
		e.out = binary.AppendUvarint(e.out, uint64(len(e.raw))<<2|literal)
		e.out = append(e.out, e.raw...)
		e.raw = e.raw[:0]
	}
}

// decodeDone returns which offsets beyond base metadata say are finished.
func decodeDone(base int64, metadata string) (done spans, err error) {
	if metadata == "" {
		return nil, nil
	}
	if metadata[:1] != version {
		return nil, fmt.Errorf("version %q: only %q is known", metadata[:1], version)
	}
	in, err := textEncoding.DecodeString(metadata[1:])
	if err != nil {
		return nil, err
	}
	if base < 0 || base > math.MaxInt64-maxBits {
		return nil, fmt.Errorf("offset %d is none", base)
	}
	var at int64 // bits
	for len(in) > 0 {
		head, size := binary.Uvarint(in)
		n, kind := int64(head>>2), head&3
		if size <= 0 || n == 0 || n > (maxBits-at)/8 || kind > literal || kind == literal && n > int64(len(in)-size) {
			return nil, errors.New("a piece is cut off, or none")
		}
		in = in[size:]
		switch kind {
		case ones:
			done.add(base+at, base+at+8*n)
		case literal:
			for i, b := range in[:n] {
				for bit := range int64(8) {
					if b&(1<<bit) != 0 {
						o := base + at + 8*int64(i) + bit
						done.add(o, o+1)
					}
				}
			}
			in = in[n:]
		}
		at += 8 * n
	}
	return done, nil
}
