package faults

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost"
)

// A watch is a scene that notes what its dispatcher thinks of a host after each attempt.
type watch struct {
	*scene

	mu    sync.Mutex
	hosts map[string][]signpost.HostStats
}

func newWatch(t *testing.T, opts ...signpost.Option) *watch {
	w := &watch{hosts: make(map[string][]signpost.HostStats)}
	w.scene = newScene(t, append(opts, signpost.WithObserver(w.note))...)
	return w
}

func (w *watch) note(_ context.Context, m *signpost.Message, _ signpost.Outcome) {
	host := watchedHost(m.URL)
	for _, h := range w.d.Hosts() {
		if h.Host == host {
			w.mu.Lock()
			w.hosts[host] = append(w.hosts[host], h)
			w.mu.Unlock()
		}
	}
}

func watchedHost(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// blamed asserts that each of the first n attempts counted against the host of a URL: a host that never answered has a
// window of 1 then.
func (w *watch) blamed(t *testing.T, address string, n int) {
	t.Helper()
	for i, h := range w.noted(address, n) {
		assert.Equal(t, 1, h.Window, "the host's window after attempt %d", i+1)
		assert.Error(t, h.LastError)
	}
}

// notBlamed asserts that none of the first n attempts counted against the host: it keeps its first window, or has more.
func (w *watch) notBlamed(t *testing.T, address string, n int) {
	t.Helper()
	for i, h := range w.noted(address, n) {
		assert.GreaterOrEqual(t, h.Window, 4, "the host's window after attempt %d", i+1)
	}
}

// noted waits until n attempts at a host are noted, and returns what was.
func (w *watch) noted(address string, n int) (seen []signpost.HostStats) {
	w.t.Helper()
	w.wait("what is noted of a host", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		seen = slices.Clone(w.hosts[watchedHost(address)])
		return len(seen) >= n
	})
	return seen[:n]
}
