package faults

import (
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

var denied = signpost.WithDeniedNetworks(forbidden)

// rebinding is a name that leads to the receiver first, which closes its connection, and then inside.
func rebinding(t *testing.T) {
	s := newScene(t, denied)
	r := newRawReceiver(s, func(c *rawConn) {
		if c.read() {
			c.write(statusLine(500) + "Connection: close\r\nContent-Length: 0\r\n\r\n")
		}
	})
	newTrap(s, portOf(t, r.URL))
	url := at(names.add(addresses("127.0.0.1"), addresses(forbidden)), r.URL)
	os := s.ends(s.send(url))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Dead}, states(os))
	assert.Equal(t, 500, os[0].Attempt.StatusCode)
	assert.Equal(t, signpost.ErrBlocked, os[1].Reason)
	assert.ErrorIs(t, os[1].Attempt.Err, signpost.ErrBlocked)
	connections, requests := r.counts()
	assert.Equal(t, 1, connections)
	assert.Equal(t, 1, requests)
}

// mixedAddresses are names that have an address that may be dialled and others that may not.
func mixedAddresses(t *testing.T) {
	var d dials
	s := d.newScene(t, denied)
	r := newRawReceiver(s)
	newTrap(s, portOf(t, r.URL))
	lists := [][]string{
		{forbidden, "127.0.0.1"},
		{"127.0.0.1", forbidden},
		{forbidden, "127.0.0.1", forbidden},
		{"169.254.169.254", "10.0.0.1", "127.0.0.1"},
		{"127.0.0.1", "::ffff:" + forbidden},
		{"127.0.0.1", "64:ff9b::7f00:42"},
		{"127.0.0.1", "fe80::1"},
		{"127.0.0.1", "fd00::42"},
	}
	for _, list := range lists {
		os := s.ends(s.send(at(names.add(addresses(list...)), r.URL)))
		assert.Equal(t, []signpost.State{signpost.Delivered}, states(os), list)
	}
	_, requests := r.counts()
	assert.Equal(t, len(lists), requests)
	d.check(t)
}

// mixedAddressesDown are names of which the only address that may be dialled refuses connections for a while.
func mixedAddressesDown(t *testing.T) {
	var d dials
	s := d.newScene(t, denied, signpost.WithRetryPolicy(policy(1000)))
	addr := closedPort(t)
	newTrap(s, portOf(t, "http://"+addr))
	var ids []string
	for _, list := range [][]string{
		{forbidden, closedAddress(t)},
		{closedAddress(t), forbidden},
		{closedAddress(t), "::ffff:" + forbidden},
		{closedAddress(t), "fe80::1"},
		{closedAddress(t), "fd00::42"},
	} {
		url := at(names.add(addresses(list...)), "http://"+addr)
		id := s.send(url)
		o := s.tried(id, 1)[0]
		assert.Equal(t, signpost.Retrying, o.State, list)
		assert.NotErrorIs(t, o.Attempt.Err, signpost.ErrBlocked, list)
		assert.Equal(t, 1, hostOf(s, url).Window, "it counts against the host")
		ids = append(ids, id)
	}
	openPort(s, addr)
	for _, id := range ids {
		os := s.ends(id)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	}
	d.check(t, closedAddress(t))
}

// onlyForbidden are names all of whose addresses are closed: denied, or not opened.
func onlyForbidden(t *testing.T) {
	var d dials
	s := d.newScene(t, denied)
	r := newRawReceiver(s)
	newTrap(s, portOf(t, r.URL))
	for _, tt := range []struct {
		list   []string
		remedy string
	}{
		{[]string{forbidden}, "WithDeniedNetworks"},
		{[]string{"::ffff:" + forbidden}, "WithDeniedNetworks"},
		{[]string{"10.0.0.1"}, "WithAllowedNetworks"},
		{[]string{"fd00::42"}, "WithAllowedNetworks"},
		{[]string{forbidden, "10.0.0.1", "fd00::42", "169.254.169.254"}, "Networks"},
	} {
		os := s.ends(s.send(at(names.add(addresses(tt.list...)), r.URL)))
		require.Equal(t, []signpost.State{signpost.Dead}, states(os))
		assert.Equal(t, signpost.ErrBlocked, os[0].Reason)
		err := os[0].Attempt.Err
		assert.ErrorIs(t, err, signpost.ErrBlocked)
		assert.ErrorContains(t, err, tt.remedy)
		if len(tt.list) == 1 {
			assert.ErrorContains(t, err, netip.MustParseAddr(tt.list[0]).Unmap().String())
		}
		for _, h := range s.d.Hosts() { // this one may be forgotten by now
			assert.Zero(t, h.PausedUntil)
			assert.GreaterOrEqual(t, h.Window, 4)
		}
	}
	connections, _ := r.counts()
	assert.Zero(t, connections)
	d.check(t)
}

func portOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	return u.Port()
}

// dials are the addresses that a scene's dispatcher has tried to connect to.
type dials struct {
	mu   sync.Mutex
	done []dialled
}

type dialled struct {
	addr netip.Addr
	err  error
}

// newScene is newScene with a transport that enters into d.
func (d *dials) newScene(t *testing.T, opts ...signpost.Option) *scene {
	t.Helper()
	var s *scene
	trace := &httptrace.ClientTrace{ConnectDone: func(_, address string, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.done = append(d.done, dialled{netip.MustParseAddrPort(address).Addr().Unmap(), err})
	}}
	s = newScene(t, append(opts, signpost.WithTransport(func(next http.RoundTripper) http.RoundTripper {
		return tracedTransport(func(req *http.Request) (*http.Response, error) {
			return s.ledger.Transport(next).RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		})
	}))...)
	return s
}

type tracedTransport func(*http.Request) (*http.Response, error)

func (f tracedTransport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// check fails the test unless the guard stopped every dial, except to 127.0.0.1 and what else is allowed.
func (d *dials) check(t *testing.T, allowed ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	assert.NotEmpty(t, d.done)
	for _, x := range d.done {
		if addr := x.addr.String(); addr != "127.0.0.1" && !slices.Contains(allowed, addr) {
			assert.ErrorIs(t, x.err, signpost.ErrBlocked, addr)
		}
	}
}
