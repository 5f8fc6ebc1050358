package faults

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A lookupFailure is how a look-up fails.
type lookupFailure int

const (
	unknown lookupFailure = iota
	failed
	silent
)

// lookup is a name for which the name server always replies the same, and no attempt gets further.
func lookup(rep reply, how lookupFailure) func(t *testing.T) {
	return func(t *testing.T) {
		opts := []signpost.Option{signpost.WithRetryPolicy(policy(3))}
		if how == silent { // the neighbour has as little time, and may need more attempts
			opts = []signpost.Option{signpost.WithRetryPolicy(policy(100)), signpost.WithTimeout(300 * time.Millisecond)}
		}
		s := newScene(t, opts...)
		r := newRawReceiver(s)
		url := at(names.add(rep), r.URL)
		id := s.send(url)
		var os []signpost.Outcome
		if how == silent {
			os = s.tried(id, 2)[:2]
		} else {
			os = s.ends(id)
			require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Dead}, states(os))
			assert.Equal(t, signpost.ErrExhausted, os[2].Reason)
		}
		for _, o := range os {
			assertLookupFailed(t, how, o.Attempt)
		}
		assert.Equal(t, 1, hostOf(s, url).Window, "it counts against the host")
		connections, _ := r.counts()
		assert.Zero(t, connections)
	}
}

func assertLookupFailed(t *testing.T, how lookupFailure, a signpost.Attempt) {
	t.Helper()
	assert.Zero(t, a.StatusCode)
	if how == silent {
		assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
		assert.Equal(t, signpost.Throttle, signpost.Classify(a))
		return
	}
	var dns *net.DNSError
	if assert.ErrorAs(t, a.Err, &dns) {
		assert.Equal(t, how == unknown, dns.IsNotFound)
		assert.False(t, dns.IsTimeout)
	}
	assert.False(t, errors.Is(a.Err, signpost.ErrBlocked))
	assert.Equal(t, signpost.Retry, signpost.Classify(a))
}

// nameAppears is a name that exists at the second look-up.
func nameAppears(t *testing.T) {
	s := newScene(t)
	r := newRawReceiver(s)
	os := s.ends(s.send(at(names.add(code(nxdomain), addresses("127.0.0.1")), r.URL)))
	assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
	assertLookupFailed(t, unknown, os[0].Attempt)
}

// longAnswer is a name whose answer over UDP says that there is more.
func longAnswer(t *testing.T) {
	s := newScene(t)
	r := newRawReceiver(s)
	os := s.ends(s.send(at(names.add(func(q query) []byte {
		if q.tcp {
			return addresses("127.0.0.1")(q)
		}
		return q.message(truncated)
	}), r.URL)))
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(os))
}

// cutOff ends in the middle of its answer.
func cutOff(q query) []byte {
	msg := q.message(0, record(q.qtype, []byte{127, 0, 0, 1}))
	return msg[:len(msg)-7]
}

// pointerLoop has an answer whose name is a pointer to itself.
func pointerLoop(q query) []byte {
	here := uint16(len(q.message(0)))
	answer := record(q.qtype, []byte{127, 0, 0, 1})
	copy(answer, pointer(here))
	return q.message(0, answer)
}

// cnameLoop says that the name is another name for itself.
func cnameLoop(q query) []byte { return q.message(0, record(typeCNAME, pointer(12))) }

// garbage is no DNS message.
func garbage(query) []byte {
	return []byte("no such thing as a message, and long enough to be taken for one")
}

// garbageOverTCP sends the resolver on to TCP, and there is nothing of use either.
func garbageOverTCP(q query) []byte {
	if q.tcp {
		return garbage(q)
	}
	return q.message(truncated)
}

// forged is the good answer to a question that wasn't asked.
func forged(q query) []byte {
	q.question = append([]byte{5}, append([]byte("other"), q.question...)...)
	return addresses("127.0.0.1", "::1")(q)
}
