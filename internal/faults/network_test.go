package faults

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// networkFaults are faults on the way to a receiver: of DNS, of addresses, of this machine, of a proxy.
var networkFaults = []fault{
	{"name does not exist (NXDOMAIN)", "Retries with backoff: the name may be about to appear. It counts against the host.",
		lookup(code(nxdomain), unknown)},
	{"name server fails (SERVFAIL)", "Retries with backoff. It counts against the host.", lookup(code(servfail), failed)},
	{"name server refuses (REFUSED)", "Retries with backoff. It counts against the host.", lookup(code(refused), failed)},
	{"name without an address (NODATA)", "Retries with backoff. It counts against the host.", lookup(code(0), unknown)},
	{"name server never answers", "The attempt ends in time, and is retried as after any timeout. It counts against the host.",
		lookup(never, silent)},
	{"DNS answer is cut off", "Retries with backoff. It counts against the host.", lookup(cutOff, failed)},
	{"DNS answer whose names point at themselves", "Retries with backoff. It counts against the host.", lookup(pointerLoop, failed)},
	{"DNS answer over TCP is garbage", "Retries with backoff. It counts against the host.", lookup(garbageOverTCP, failed)},
	{"CNAME loop", "Retries with backoff. It counts against the host.", lookup(cnameLoop, unknown)},
	{"DNS answer over UDP is garbage", "It is ignored, so the attempt times out. It counts against the host.", lookup(garbage, silent)},
	{"DNS answer to another question", "It is ignored, so the attempt times out. It counts against the host.", lookup(forged, silent)},
	{"DNS answer too long for UDP", "Asks again over TCP, within the same attempt.", longAnswer},
	{"name appears late", "The retry asks DNS again and delivers.", nameAppears},

	{"name rebinds to a forbidden address", "Every dial looks the name up and checks what it got: the message is dead (`ErrBlocked`), " +
		"and the address never sees a connection.", rebinding},
	{"name has allowed and forbidden addresses", "Delivers over the allowed ones, in whatever order they come. " +
		"The forbidden ones are never dialled.", mixedAddresses},
	{"name has an allowed address that is down and a forbidden one", "Retries with backoff, and counts it against the host: " +
		"it isn't a blocked one. The forbidden address is never dialled.", mixedAddressesDown},
	{"name has only forbidden addresses", "Dead at once (`ErrBlocked`); the error names the address and the option that would open it. " +
		"It counts against nobody.", onlyForbidden},

	{"connection refused", "Retries with backoff. It counts against the host.", connectionRefused},
	{"one of several addresses refuses", "Tries the next address within the same attempt.", oneRefuses},
	{"one of several addresses hangs", "Leaves time for the next address within the same attempt.", oneHangs},

	{"no route on this machine", "Retries with backoff. It counts against neither endpoint nor host: no breaker opens. " +
		"Attempts are used up like any others.", noRoute},
	{"out of file descriptors", "Retries with backoff. It counts against neither endpoint nor host: no breaker opens. " +
		"Attempts are used up like any others, so the policy must outlast the shortage.", outOfDescriptors},

	{"proxy is down", "Retries with backoff. No error or log line shows the proxy's credentials.", proxyDown},
	{"proxy wants other credentials (407)", "Retries with backoff. No error or log line shows the proxy's credentials.",
		proxyAnswers("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")},
	{"proxy can't reach the receiver (502)", "Retries with backoff. No error or log line shows the proxy's credentials.",
		proxyAnswers("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")},
	{"proxy answers garbage", "Retries with backoff. No error or log line shows the proxy's credentials.", proxyAnswers("\x00\xff\r\n\r\n")},
	{"proxy hangs", "The attempt ends in time, and is retried as after any timeout. " +
		"Its connection to the proxy is closed soon after.", proxyHangs},
	{"SOCKS proxy hangs", "The attempt ends in time, and is retried as after any timeout. " +
		"Its connection to the proxy is closed soon after.", socksHangs},
}

// connectionRefused is a port that opens after two attempts.
func connectionRefused(t *testing.T) {
	s := newScene(t, signpost.WithRetryPolicy(policy(1000)))
	addr := closedPort(t)
	id := s.send("http://" + addr)
	os := s.tried(id, 2)
	for _, o := range os[:2] {
		assert.Equal(t, signpost.Retrying, o.State)
		assert.ErrorIs(t, o.Attempt.Err, syscall.ECONNREFUSED)
		assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt))
	}
	assert.Equal(t, 1, hostOf(s, "http://"+addr).Window, "it counts against the host")
	openPort(s, addr)
	os = s.ends(id)
	assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
}

// oneRefuses is a name whose first address refuses connections, with a second one of the same family or the other.
func oneRefuses(t *testing.T) {
	s := newScene(t)
	r := newRawReceiver(s)
	for _, list := range [][]string{{closedAddress(t), "127.0.0.1"}, {"::1", "127.0.0.1"}} {
		os := s.ends(s.send(at(names.add(addresses(list...)), r.URL)))
		assert.Equal(t, []signpost.State{signpost.Delivered}, states(os), list)
	}
	connections, requests := r.counts()
	assert.Equal(t, 2, connections)
	assert.Equal(t, 2, requests)
}

// at is a receiver's URL with another host.
func at(host, receiver string) string {
	u, err := url.Parse(receiver)
	if err != nil {
		panic(err)
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

// hostOf is what the dispatcher says of a URL's host. It must know it.
func hostOf(s *scene, rawURL string) signpost.HostStats {
	s.t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(s.t, err)
	for _, h := range s.d.Hosts() {
		if h.Host == u.Host {
			return h
		}
	}
	require.FailNow(s.t, "the dispatcher doesn't know "+u.Host)
	return signpost.HostStats{}
}

// closedAddress is an address of loopback that nothing listens on, and that is nobody's address by default: so a port
// of it stays free until a test opens it.
func closedAddress(t *testing.T) string {
	t.Helper()
	needsAllOfLoopback(t)
	return "127.0.0.71"
}

// needsAllOfLoopback skips a test where 127.0.0.1 is the only address on loopback.
func needsAllOfLoopback(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		t.Skip("loopback has the one address 127.0.0.1 here, and more are needed")
	}
}

// closedPort is an address with a port that nothing listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(closedAddress(t), "0"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// openPort starts a healthy receiver at an address.
func openPort(s *scene, addr string) {
	s.t.Helper()
	l, err := net.Listen("tcp", addr)
	require.NoError(s.t, err)
	healthy := s.ledger.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: healthy}}
	server.Start()
	s.t.Cleanup(server.Close)
}

// A trap is a listener inside a network that must not be reached.
type trap struct {
	addr string
	hits atomic.Int64
}

// forbidden is the address of traps. A scene must deny it.
const forbidden = "127.0.0.66"

// newTrap listens on the forbidden address at the port of another one. It fails the test if anyone connects.
func newTrap(s *scene, port string) *trap {
	s.t.Helper()
	needsAllOfLoopback(s.t)
	l, err := net.Listen("tcp", net.JoinHostPort(forbidden, port))
	require.NoError(s.t, err)
	tr := &trap{addr: l.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tr.hits.Add(1)
			c.Close()
		}
	}()
	s.t.Cleanup(func() {
		// A connection of its own: what has connected before was accepted before.
		if c, err := net.Dial("tcp", tr.addr); assert.NoError(s.t, err) {
			c.Read(make([]byte, 1))
			c.Close()
		}
		l.Close()
		<-done
		assert.EqualValues(s.t, 1, tr.hits.Load(), "connections to the forbidden address, with the test's own")
	})
	return tr
}
