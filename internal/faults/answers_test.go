package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost"
)

// answers are faults in what a receiver says in good HTTP.
var answers = []fault{
	{"500", "Retries with backoff. It counts against the endpoint, not the host.", status(500)},
}

// status is a receiver that answers twice with a status that calls for a retry, and then with 200.
func status(code int) func(t *testing.T) {
	return func(t *testing.T) {
		s := newScene(t)
		r := newRawReceiver(s, repeat(2, raw(statusLine(code)+"Content-Length: 0\r\n\r\n"))...)
		id := s.send(r.URL)
		os := s.ends(id)
		assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
		assert.Equal(t, code, os[0].Attempt.StatusCode)
	}
}
