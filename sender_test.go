package signpost_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// The tests of this file send over real sockets.

var loopback = signpost.WithAllowedNetworks("127.0.0.0/8", "::1/128")

func sender(t *testing.T, opts ...signpost.Option) *signpost.Sender {
	t.Helper()
	s, err := signpost.NewSender(append([]signpost.Option{signpost.WithSecret(whsec), loopback, signpost.WithTimeout(5 * time.Second)}, opts...)...)
	require.NoError(t, err)
	return s
}

func message(url string) *signpost.Message {
	return &signpost.Message{URL: url, Payload: []byte(`{"hello": "world"}`)}
}

// serve starts a server that is closed when the test ends.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// raw starts a listener that has f talk to every connection, and returns its URL and a count of connections.
func raw(t *testing.T, f func(net.Conn)) (string, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	var n atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return "http://" + l.Addr().String(), &n
}

// answers reads one request and writes the given bytes.
func answers(response string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		io.Copy(io.Discard, req.Body)
		io.WriteString(c, response)
	}
}

func TestRequest(t *testing.T) {
	var got *http.Request
	var body []byte
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "thanks")
	})
	s := sender(t, signpost.WithHeader("X-A", "dispatcher"), signpost.WithHeader("X-B", "dispatcher"), signpost.WithHeader("X-B", "twice"),
		signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
			return signpost.Endpoint{Header: http.Header{"X-C": {"endpoint"}, "x-d": {"endpoint"}}}, nil
		}))
	m := message(srv.URL + "/hook?token=1")
	m.Header = http.Header{"x-a": {"message"}, "X-D": {"message", "twice"}, "Content-Type": {"application/cloudevents+json"}}
	before := time.Now()
	a := s.Send(ctx, m)
	require.NoError(t, a.Err)
	assert.Equal(t, 1, a.Number)
	assert.Equal(t, http.StatusAccepted, a.StatusCode)
	assert.Equal(t, 7*time.Second, a.RetryAfter)
	assert.Equal(t, "thanks", string(a.Body))
	assert.False(t, a.Start.Before(before))
	assert.Positive(t, a.Duration)
	assert.Equal(t, signpost.Accept, signpost.Classify(a))
	assert.Zero(t, m.Attempts, "the caller counts")

	assert.Equal(t, "POST", got.Method)
	assert.Equal(t, "/hook?token=1", got.RequestURI)
	assert.Equal(t, string(m.Payload), string(body))
	assert.EqualValues(t, len(m.Payload), got.ContentLength)
	assert.Empty(t, got.TransferEncoding)
	assert.Regexp(t, `^signpost/\d+\.\d+\.\d+$`, got.Header.Get("User-Agent"))
	assert.Empty(t, got.Header.Get("Accept-Encoding"), "no compression that nobody asked for")
	assert.Equal(t, []string{"message"}, got.Header.Values("X-A"))
	assert.Equal(t, []string{"dispatcher", "twice"}, got.Header.Values("X-B"))
	assert.Equal(t, []string{"endpoint"}, got.Header.Values("X-C"))
	assert.Equal(t, []string{"message", "twice"}, got.Header.Values("X-D"))
	assert.Equal(t, "application/cloudevents+json", got.Header.Get("Content-Type"))
	v, err := signpost.NewVerifier(verificationKey(t, whsec))
	require.NoError(t, err)
	assert.NoError(t, v.Verify(got.Header, body))
	assert.Equal(t, m.ID, got.Header.Get("webhook-id"))

	m.Attempts = 4
	assert.Equal(t, 5, s.Send(ctx, m).Number)
}

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		name, response string
		status         int
		verdict        signpost.Verdict
	}{
		{"200", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, signpost.Accept},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, signpost.Accept},
		{"299", "HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n", 299, signpost.Accept},
		{"2xx and a body that breaks off", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", 200, signpost.Accept},
		{"2xx and a broken chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz", 200, signpost.Accept},
		{"after hints", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, signpost.Accept},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, signpost.Retry},
		{"301", "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 301, signpost.Retry},
		{"302", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, signpost.Retry},
		{"304 without Location", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, signpost.Retry},
		{"400", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 400, signpost.Retry},
		{"410", "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", 410, signpost.Gone},
		{"429", "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", 429, signpost.Throttle},
		{"500", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500, signpost.Retry},
		{"502", "HTTP/1.1 502 Oops\r\nContent-Length: 0\r\n\r\n", 502, signpost.Throttle},
		{"503", "HTTP/1.1 503 Oops\r\nContent-Length: 0\r\n\r\n", 503, signpost.Throttle},
		{"504", "HTTP/1.1 504 Oops\r\nContent-Length: 0\r\n\r\n", 504, signpost.Throttle},
		{"999", "HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n", 999, signpost.Retry},
		{"000", "HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n", 0, signpost.Retry},
		{"099", "HTTP/1.1 099 Nothing\r\nContent-Length: 0\r\n\r\n", 0, signpost.Retry},
		{"no HTTP", "SSH-2.0-OpenSSH\r\n", 0, signpost.Retry},
		{"half a status line", "HTTP/1.1 2", 0, signpost.Retry},
		{"no answer", "", 0, signpost.Retry},
		{"headers without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 100) + "\r\n", 0, signpost.Retry},
		{"hints without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("a", 1000)+">\r\n\r\n", 100), 0, signpost.Retry},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, conns := raw(t, answers(c.response))
			a := sender(t).Send(ctx, message(url))
			assert.Equal(t, c.status, a.StatusCode, "%v", a.Err)
			assert.Equal(t, c.verdict, signpost.Classify(a))
			assert.Equal(t, c.status == 0, a.Err != nil)
			assert.EqualValues(t, 1, conns.Load(), "net/http must not send again on its own")
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var hits atomic.Int32
	inside := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inside.URL, status)
		})
		a := sender(t).Send(ctx, message(srv.URL))
		assert.Equal(t, status, a.StatusCode)
		assert.Equal(t, signpost.Retry, signpost.Classify(a))
	}
	assert.Zero(t, hits.Load())
}

func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	var hits atomic.Int32
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	a := sender(t).Send(ctx, message("http://name.invalid/"))
	assert.Error(t, a.Err)
	assert.Zero(t, hits.Load())

	u, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	s, err := signpost.NewSender(signpost.WithSecret(whsec), signpost.WithProxy(u))
	require.NoError(t, err)
	a = s.Send(ctx, message("http://name.invalid/"))
	assert.Equal(t, 200, a.StatusCode, "the proxy dials, so no network need be allowed")
	assert.EqualValues(t, 1, hits.Load())
}

func TestGuard(t *testing.T) {
	var hits atomic.Int32
	srv := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)
	s, err := signpost.NewSender(signpost.WithSecret(whsec), signpost.WithTimeout(5*time.Second))
	require.NoError(t, err)
	for _, host := range []string{
		"127.0.0.1", "localhost", "LocalHost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1",
		"0177.0.0.1", "017700000001", "127.0.0.1.", "１２７.0.0.1", "１２７．０．０．１", "127。0。0。1", "①②⑦.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "[64:ff9b::7f00:1]",
		"10.0.0.1", "192.168.0.1", "[fe80::1%25lo]",
	} {
		a := s.Send(ctx, message("http://"+host+":"+port+"/"))
		assert.ErrorIs(t, a.Err, signpost.ErrBlocked, host)
		assert.Equal(t, signpost.Reject, signpost.Classify(a), host)
	}
	assert.Zero(t, hits.Load())

	s = sender(t, signpost.WithDeniedNetworks("127.0.0.1/32"))
	assert.ErrorIs(t, s.Send(ctx, message(srv.URL)).Err, signpost.ErrBlocked, "denied wins over allowed")
}

func TestBodyIsBounded(t *testing.T) {
	var conns atomic.Int32
	size := atomic.Int64{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(w, zeros{}, size.Load())
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	s := sender(t)
	for _, c := range []struct {
		size  int64
		kept  int
		conns int32
	}{
		{0, 0, 1}, {100, 100, 1}, {16 << 10, 16 << 10, 1}, {20 << 10, 16 << 10, 1}, // little is left: the connection is used again
		{1 << 40, 16 << 10, 1}, {0, 0, 2}, // and closed if not
	} {
		size.Store(c.size)
		a := s.Send(ctx, message(srv.URL))
		require.NoError(t, a.Err)
		assert.Equal(t, 200, a.StatusCode)
		assert.Len(t, a.Body, c.kept)
		assert.Equal(t, c.conns, conns.Load(), "a body of %d bytes", c.size)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOneDeadlineForEverything(t *testing.T) {
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	drip := func(c net.Conn, line string) {
		for _, b := range []byte(line) {
			select {
			case <-block:
				return
			case <-time.After(20 * time.Millisecond):
			}
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	}
	hung, _ := raw(t, func(net.Conn) { <-block })
	dripping, _ := raw(t, func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 1000)) })
	body, _ := raw(t, func(c net.Conn) { drip(c, "HTTP/1.1 500 No\r\n\r\n"+strings.Repeat("z", 1000)) })
	for _, c := range []struct {
		name   string
		url    string
		opts   []signpost.Option
		status int
	}{
		{"no answer", hung, nil, 0},
		{"no TLS handshake", strings.Replace(hung, "http:", "https:", 1), nil, 0},
		{"dripping header", dripping, nil, 0},
		{"dripping body", body, nil, 500},
		{"endpoint function", hung, []signpost.Option{signpost.WithEndpoints(func(ctx context.Context, _ string) (signpost.Endpoint, error) {
			<-ctx.Done()
			return signpost.Endpoint{}, ctx.Err()
		})}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			a := sender(t, append(c.opts, signpost.WithTimeout(600*time.Millisecond))...).Send(ctx, message(c.url))
			assert.GreaterOrEqual(t, time.Since(begin), 600*time.Millisecond)
			assert.Less(t, time.Since(begin), 20*time.Second)
			assert.Equal(t, c.status, a.StatusCode)
			if c.status == 0 {
				assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
				want := signpost.Throttle
				if c.opts != nil {
					want = signpost.Retry // it says nothing of the receiver
				}
				assert.Equal(t, want, signpost.Classify(a))
			}
		})
	}
	t.Run("the caller's context", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		a := sender(t).Send(short, message(hung))
		assert.ErrorIs(t, a.Err, context.DeadlineExceeded)
	})
}

// A connection that dies while it is idle costs at most one counted attempt: net/http must not send a POST
// twice on its own.
func TestNoSilentReplay(t *testing.T) {
	var requests atomic.Int32
	url, conns := raw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			io.Copy(io.Discard, req.Body)
			requests.Add(1)
			if i == 1 {
				return // the second request on this connection is read, and never answered
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s := sender(t)
	m := message(url)
	m.Header = http.Header{"Idempotency-Key": {"abc"}, "X-Idempotency-Key": {"abc"}}
	require.NoError(t, s.Send(ctx, m).Err)
	a := s.Send(ctx, m)
	assert.Error(t, a.Err)
	assert.EqualValues(t, 2, requests.Load())
	assert.EqualValues(t, 1, conns.Load())
}

// What a RoundTripper does to its request concerns no other one.
func TestRequestsShareNothing(t *testing.T) {
	var seen []string
	s := sender(t, signpost.WithTransport(func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			seen = append(seen, req.URL.String())
			req.URL.Host, req.URL.RawQuery = "elsewhere.example", "x=1"
			req.Header["Content-Type"][0] = "text/plain"
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
	}))
	for range 3 {
		require.NoError(t, s.Send(ctx, message("http://a.example/?q")).Err)
	}
	assert.Equal(t, []string{"http://a.example/?q", "http://a.example/?q", "http://a.example/?q"}, seen)
}

// A Sender's caller decides how many attempts there are at a time, at one host too.
func TestManyAttemptsAtOnce(t *testing.T) {
	const n = 300
	all := make(chan struct{})
	var come atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if come.Add(1) == n {
			close(all)
		}
		<-all
	}))
	defer srv.Close()
	s, err := signpost.NewSender(signpost.WithSecret(whsec), loopback, signpost.WithTimeout(time.Minute))
	require.NoError(t, err)
	defer s.CloseIdleConnections()
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			a := s.Send(ctx, &signpost.Message{URL: srv.URL, Payload: []byte(`{}`)})
			if !assert.NoError(t, a.Err) && come.Add(1) == n {
				close(all)
			}
		})
	}
	wg.Wait()
}

func TestErrorsAreBounded(t *testing.T) {
	url, _ := raw(t, answers("HTTP/1.1 "+strings.Repeat("a", 60_000)+"\r\n\r\n"))
	a := sender(t).Send(ctx, message(url+"/?a"))
	require.Error(t, a.Err)
	assert.Less(t, len(a.Err.Error()), 1000)
}

func TestErrorsAreRedacted(t *testing.T) {
	const secret = "t0ken"
	path := "/hook?key=" + secret
	for name, s := range map[string]*signpost.Sender{
		"refused": sender(t),
		"transport": sender(t, signpost.WithTransport(func(http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				return nil, &url.Error{Op: "Post", URL: "http://user:" + secret + "@x/?" + secret, Err: errors.New("failed for " + req.URL.String())}
			})
		})),
		"endpoint": sender(t, signpost.WithEndpoints(func(_ context.Context, u string) (signpost.Endpoint, error) {
			return signpost.Endpoint{}, fmt.Errorf("no endpoint for %s", u)
		})),
		"signer": sender(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			return signpost.Endpoint{Signer: signpost.SignerFunc(func(req *http.Request, _ *signpost.Message, _ time.Time) error {
				return fmt.Errorf("can't sign for %s", req.URL)
			})}, nil
		})),
		"several URLs": sender(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			kms := &url.Error{Op: "Get", URL: "https://u:" + secret + "@kms/?k=" + secret + "#" + secret, Err: io.EOF}
			return signpost.Endpoint{}, errors.Join(kms, &url.Error{Op: "Get", URL: `http://x/?a="` + secret, Err: kms})
		})),
		"a single value": sender(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			return signpost.Endpoint{}, errors.New("bad token " + secret)
		})),
		"panic": sender(t, signpost.WithEndpoints(func(_ context.Context, u string) (signpost.Endpoint, error) { panic("oops " + u) })),
	} {
		a := s.Send(ctx, message("http://127.0.0.1:1"+path))
		require.Error(t, a.Err, name)
		assert.NotContains(t, a.Err.Error(), secret, name)
		assert.Contains(t, a.Err.Error(), "http://127.0.0.1:1/hook", name)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestLocalFaults(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL} {
		a := signpost.Attempt{Number: 1, Err: fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: errno})}
		assert.Equal(t, signpost.Retry, signpost.Classify(a), errno.Error())
	}
	assert.Equal(t, signpost.Throttle, signpost.Classify(signpost.Attempt{Err: &net.DNSError{IsTimeout: true}}))
	assert.Equal(t, signpost.Retry, signpost.Classify(signpost.Attempt{Err: &net.DNSError{IsNotFound: true}}))
	assert.Equal(t, signpost.Retry, signpost.Classify(signpost.Attempt{}))
}

func TestInvalidMessage(t *testing.T) {
	s := sender(t)
	for _, m := range []*signpost.Message{nil, {}, message("ftp://x/"), {URL: "http://127.0.0.1/", Payload: []byte("x")}} {
		a := s.Send(ctx, m)
		assert.ErrorIs(t, a.Err, signpost.ErrInvalid)
		assert.Equal(t, signpost.Reject, signpost.Classify(a))
		assert.Equal(t, signpost.Dead, signpost.RetryPolicy{}.Decide(a).State)
	}
	m := message("http://127.0.0.1:1/")
	s.Send(ctx, m)
	assert.NotEmpty(t, m.ID)
	assert.False(t, m.CreatedAt.IsZero())
}

// tlsServer starts a server that says who it talked to, and returns the authority to trust.
func tlsServer(t *testing.T, h2 bool, configure func(*tls.Config)) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		who := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.TLS.PeerCertificates[0].SerialNumber.String()
		}
		fmt.Fprintf(w, "%s %s %v", r.Proto, who, r.TLS.DidResume)
	}))
	srv.EnableHTTP2 = h2
	srv.TLS = &tls.Config{}
	if configure != nil {
		configure(srv.TLS)
	}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return srv, pool
}

func TestTLS(t *testing.T) {
	t.Run("HTTP/2", func(t *testing.T) {
		srv, roots := tlsServer(t, true, nil)
		a := sender(t, signpost.WithTLSConfig(&tls.Config{RootCAs: roots})).Send(ctx, message(srv.URL))
		require.NoError(t, a.Err)
		assert.Equal(t, "HTTP/2.0 nobody false", string(a.Body))
	})
	t.Run("HTTP/2 headers without end", func(t *testing.T) {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("a", 1000))
			}
		}))
		srv.EnableHTTP2 = true
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		a := sender(t, signpost.WithTLSConfig(&tls.Config{RootCAs: roots})).Send(ctx, message(srv.URL))
		assert.Error(t, a.Err)
		assert.Zero(t, a.StatusCode)
	})
	t.Run("session resumption", func(t *testing.T) {
		srv, roots := tlsServer(t, false, nil)
		srv.Config.SetKeepAlivesEnabled(false)
		s := sender(t, signpost.WithTLSConfig(&tls.Config{RootCAs: roots}))
		require.NoError(t, s.Send(ctx, message(srv.URL)).Err)
		a := s.Send(ctx, message(srv.URL))
		assert.Equal(t, "HTTP/1.1 nobody true", string(a.Body), "%v", a.Err)
	})
	t.Run("unknown authority", func(t *testing.T) {
		srv, _ := tlsServer(t, true, nil)
		a := sender(t).Send(ctx, message(srv.URL))
		assert.ErrorContains(t, a.Err, "certificate")
		assert.Equal(t, signpost.Retry, signpost.Classify(a))
	})
	t.Run("wrong name", func(t *testing.T) {
		srv, roots := tlsServer(t, true, nil)
		a := sender(t, signpost.WithTLSConfig(&tls.Config{RootCAs: roots})).Send(ctx, message(strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)))
		assert.ErrorContains(t, a.Err, "localhost")
	})
	t.Run("TLS 1.1 is refused, whatever the config says", func(t *testing.T) {
		srv, roots := tlsServer(t, false, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
		a := sender(t, signpost.WithTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10})).Send(ctx, message(srv.URL))
		assert.Error(t, a.Err)
	})
	t.Run("a client certificate for each endpoint", func(t *testing.T) {
		srv, roots := tlsServer(t, true, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
		certificate := srv.TLS.Certificates[0]
		with := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}}
		s := sender(t, signpost.WithTLSConfig(&tls.Config{RootCAs: roots}), signpost.WithEndpoints(func(_ context.Context, u string) (signpost.Endpoint, error) {
			if strings.HasSuffix(u, "/mutual") {
				return signpost.Endpoint{TLS: with}, nil
			}
			return signpost.Endpoint{}, nil
		}))
		leaf, err := x509.ParseCertificate(certificate.Certificate[0])
		require.NoError(t, err)
		for range 3 { // a connection opened under one policy is never used under another
			assert.Equal(t, "HTTP/2.0 "+leaf.SerialNumber.String()+" false", string(s.Send(ctx, message(srv.URL+"/mutual")).Body))
			assert.Equal(t, "HTTP/2.0 nobody false", string(s.Send(ctx, message(srv.URL)).Body))
		}
	})
	t.Run("more certificates than are kept", func(t *testing.T) {
		srv, roots := tlsServer(t, false, nil)
		s := sender(t, signpost.WithEndpoints(func(context.Context, string) (signpost.Endpoint, error) {
			return signpost.Endpoint{TLS: &tls.Config{RootCAs: roots}}, nil // a new one every time, as a careless user might
		}))
		for range 300 {
			require.NoError(t, s.Send(ctx, message(srv.URL)).Err)
		}
	})
}

func TestCompressedBodyIsLeftAlone(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write([]byte{0x1f, 0x8b, 8, 0})
	})
	a := sender(t).Send(ctx, message(srv.URL))
	assert.True(t, bytes.Equal([]byte{0x1f, 0x8b, 8, 0}, a.Body))
}
