package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A keeper is a receiver that holds up a request's first attempt, answers it with 500, and keeps what arrives.
type keeper struct {
	url string
	*hold
	mu     sync.Mutex
	bodies []string
	kept   []string // of the header X-Kept
}

func newKeeper(s *scene) *keeper {
	k := &keeper{hold: newHold(s.t)}
	k.url = newHandler(s, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		k.mu.Lock()
		k.bodies = append(k.bodies, string(body))
		k.kept = append(k.kept, r.Header.Get("X-Kept"))
		first := len(k.bodies) == 1
		k.mu.Unlock()
		if first {
			k.wait(r.Context())
			w.WriteHeader(500)
		}
	})
	return k
}

func payloadChanges(t *testing.T) {
	bytesOf := []byte(`{"order":42}`)
	rawOf := []byte(`{"order":42}`)
	value := map[string]int{"order": 42}
	for name, c := range map[string]struct {
		payload any
		change  func()
	}{
		"bytes":            {bytesOf, func() { copy(bytesOf, `{"order":43}`) }},
		"json.RawMessage":  {json.RawMessage(rawOf), func() { copy(rawOf, `[[[[`) }},
		"marshalled value": {value, func() { value["order"] = 43 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			k := newKeeper(s)
			id, err := s.d.Send(ctx, k.url, c.payload)
			require.NoError(t, err)
			c.change()
			s.ledger.Accept(id)
			k.has(1)
			k.letGo()
			s.toNeighbour(1)
			assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(s.ends(id)))
			assert.Equal(t, []string{`{"order":42}`, `{"order":42}`}, k.bodies)
		})
	}
}

func messageChanges(t *testing.T) {
	s := newScene(t)
	k := newKeeper(s)
	m := &signpost.Message{URL: k.url, Payload: []byte(`{"order":42}`), Header: http.Header{"X-Kept": {"old"}}}
	require.NoError(t, s.d.Enqueue(ctx, m))
	id := m.ID
	s.ledger.Accept(id)
	change := func(to string) {
		copy(m.Payload, `{"order":`+to+`}`)
		m.Header["X-Kept"][0] = to
		m.Header.Set("X-Other", to)
		m.ID, m.URL, m.Attempts = to, "http://127.0.0.1:1/"+to, 7
	}
	change("43")
	k.has(1)
	change("44") // while an attempt is in flight
	k.letGo()
	s.toNeighbour(1)
	assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(s.ends(id)))
	assert.Equal(t, []string{`{"order":42}`, `{"order":42}`}, k.bodies)
	assert.Equal(t, []string{"old", "old"}, k.kept)
}

func contextEnds(t *testing.T) {
	s := newScene(t)
	k := newKeeper(s)
	short, cancel := context.WithCancel(ctx)
	id, err := s.d.Send(short, k.url, []byte(`{}`))
	require.NoError(t, err)
	s.ledger.Accept(id)
	k.has(1)
	cancel() // its first attempt is in flight, and it has a second one before it
	k.letGo()
	s.toNeighbour(1)
	os := s.ends(id)
	assert.Equal(t, []signpost.State{signpost.Retrying, signpost.Delivered}, states(os))
	assert.Equal(t, 500, os[0].Attempt.StatusCode, "nothing was cut off")

	_, err = s.d.Send(short, k.url, []byte(`{}`))
	assert.ErrorIs(t, err, context.Canceled, "a context that was over before is another matter")
}

func largePayload(t *testing.T) {
	const most = 64 << 10
	s := newScene(t, signpost.WithMaxPayload(most))
	var got int
	url := newHandler(s, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = len(body)
	})
	for name, send := range map[string]func(size int) (id string, err error){
		"Send of bytes": func(size int) (string, error) {
			return s.d.Send(ctx, url, append(append([]byte{'"'}, bytes.Repeat([]byte{'a'}, size-2)...), '"'))
		},
		"Send of a value": func(size int) (string, error) { return s.d.Send(ctx, url, strings.Repeat("a", size-2)) },
		"Enqueue": func(size int) (string, error) {
			m := &signpost.Message{URL: url, Payload: append(bytes.Repeat([]byte{' '}, size-2), "{}"...)}
			err := s.d.Enqueue(ctx, m)
			return m.ID, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.d.Stats()
			id, err := send(most + 1)
			assert.ErrorIs(t, err, signpost.ErrInvalid)
			assert.Empty(t, id)
			assert.Equal(t, before.Accepted, s.d.Stats().Accepted)
			assert.LessOrEqual(t, s.d.Stats().Bytes, before.Bytes)

			id, err = send(most)
			require.NoError(t, err)
			s.ledger.Accept(id)
			assert.Equal(t, delivered, states(s.ends(id)))
			assert.Equal(t, most, got)
		})
	}
	s.toNeighbour(1)
}
