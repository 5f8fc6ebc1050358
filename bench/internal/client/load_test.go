package client

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/payload"
)

// recorder is a sender that remembers what it is given.
type recorder struct {
	send func(n int) error // nil: accept

	mu   sync.Mutex
	urls map[int]string // by message
	at   map[int]clock.Time
}

func newRecorder(send func(n int) error) *recorder {
	return &recorder{send: send, urls: map[int]string{}, at: map[int]clock.Time{}}
}

func (r *recorder) Send(url string, body []byte) error {
	n, err := payload.Number(body)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.urls[n], r.at[n] = url, clock.Now()
	r.mu.Unlock()
	if r.send != nil {
		return r.send(n)
	}
	return nil
}

func (r *recorder) Close() error { return nil }

func TestEveryMessageIsOfferedOnceAndInItsTurn(t *testing.T) {
	c := Config{URLs: []string{"a", "b", "c"}, Order: []int{2, 0, 2, 1}, Payload: 100}
	for _, producers := range []int{1, 4} {
		r := newRecorder(nil)
		assert.Empty(t, Load{First: 2, Count: 8}.run(c, producers, r))
		want := map[int]string{2: "c", 3: "b", 4: "c", 5: "a", 6: "c", 7: "b", 8: "c", 9: "a"}
		assert.Equal(t, want, r.urls)
	}
}

func TestNoMessageIsOfferedEarly(t *testing.T) {
	l := Load{Count: 5, Start: clock.Now().Add(10 * time.Millisecond), Interval: 5 * time.Millisecond}
	l.End = l.Time(l.Count)
	r := newRecorder(nil)
	l.run(Config{URLs: []string{"a"}, Order: []int{0}, Payload: 100}, 1, r)
	assert.GreaterOrEqual(t, clock.Now(), l.End, "the load lasts until its end")
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, at := range r.at {
		assert.GreaterOrEqual(t, at, l.Time(n))
	}
}

func TestRefusalsAreReported(t *testing.T) {
	r := newRecorder(func(n int) error {
		if n%2 == 1 {
			return errors.New("odd")
		}
		return nil
	})
	loaded := Load{Count: 4}.run(Config{URLs: []string{"a"}, Order: []int{0}, Payload: 100}, 1, r)
	assert.Equal(t, Loaded{Refused: []int{1, 3}, Refusal: "odd"}, loaded)
}

// A sender that blocks doesn't hold the load up beyond its end.
func TestALoadEnds(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	r := newRecorder(func(int) error { <-release; return nil })
	l := Load{Count: 100, Start: clock.Now(), Interval: time.Millisecond}
	l.End = l.Start.Add(20 * time.Millisecond)
	l.run(Config{URLs: []string{"a"}, Order: []int{0}, Payload: 100}, 2, r)
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.LessOrEqual(t, len(r.urls), 2, "one for each producer")
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		err    string
		config Config
	}{
		{`"pigeon"`, Config{Sender: "pigeon"}},
		{"URL number 1", Config{Sender: "signpost", URLs: []string{"a"}, Order: []int{0, 1}}},
		{"no order", Config{Sender: "signpost", URLs: []string{"a"}}},
	} {
		s := NewService().(*service)
		err := s.Open(c.config, nil)
		require.Error(t, err)
		assert.ErrorContains(t, err, c.err)
		s.Close()
	}
}
