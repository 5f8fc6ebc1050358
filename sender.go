package signpost

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// An Endpoint says how to reach one URL. It is asked for before every attempt, so rotated secrets count at
// once and no secret enters a queue.
type Endpoint struct {
	Signer Signer      // nil: the dispatcher's
	Header http.Header // sent as well; a message's headers of the same name replace it
	// TLS has a client certificate, say; nil: the dispatcher's. Connections are pooled per *tls.Config: return the
	// same pointer for the same certificate.
	TLS      *tls.Config
	Disabled bool // dead: ErrDisabled, without an attempt
}

// A Sender makes single attempts, for callers with a job engine of their own; a [Dispatcher] has one inside.
// It is safe for concurrent use.
type Sender struct {
	config *config
	urls   destinations
	common *transport // for requests without a client certificate of their own

	alone bool         // there is no dispatcher: the caller decides how many attempts are made at a time
	calls atomic.Int64 // of Send, under way

	mu         sync.Mutex // protects the following fields
	transports map[*tls.Config]*transport
	clock      uint64 // counts uses of transports
}

// A transport is what requests of one client certificate go through.
type transport struct {
	roundTripper http.RoundTripper
	pool         *http.Transport
	used         uint64 // Sender.clock at the last use
}

const (
	maxTransports      = 256      // client certificates with a connection pool at the same time
	maxResponseHeader  = 64 << 10 // bytes of response headers
	maxResponseBody    = 16 << 10 // bytes of a response body that are kept
	maxReceiveBuffer   = 64 << 10 // bytes of an HTTP/2 stream that a receiver may send unread
	maxDrain           = 16 << 10 // more bytes that are read so that the connection can be used again
	maxIdleConnections = 4096     // over all hosts, in each pool
	tlsSessions        = 4096     // kept for resumption, in each pool
	idleTimeout        = 90 * time.Second
	pingAfter          = 5 * time.Second // of silence on an HTTP/2 connection
	pingTimeout        = 5 * time.Second
	dialGrace          = time.Second // net/http may go on dialling after the attempt's deadline, for so long
)

// NewSender returns a Sender. Options that only a Dispatcher has a use for are errors.
func NewSender(opts ...Option) (*Sender, error) {
	c, err := newSenderConfig(opts)
	if err != nil {
		return nil, err
	}
	s, err := newSender(c)
	if err == nil {
		s.alone = true
	}
	return s, err
}

func newSender(c *config) (*Sender, error) {
	s := &Sender{config: c, transports: make(map[*tls.Config]*transport)}
	if s.common = s.newTransport(nil); s.common.roundTripper == nil {
		return nil, invalid("WithTransport: the function returned nil; return what it is given to change nothing")
	}
	return s, nil
}

// Send makes one attempt to deliver m: it asks for the endpoint, signs, and POSTs, all within [WithTimeout]
// and ctx. It gives m an ID and a creation time if it has none, and changes nothing else: the caller counts
// m.Attempts. What is wrong is in the Attempt's Err or StatusCode; [Classify] says what it means,
// [RetryPolicy.Decide] what to do.
func (s *Sender) Send(ctx context.Context, m *Message) Attempt {
	s.calls.Add(1)
	defer s.calls.Add(-1)
	now := time.Now()
	to, err := s.prepare(ctx, now, m)
	if err != nil {
		a := Attempt{Start: now, Err: err}
		if m != nil {
			a.Number = m.Attempts + 1
		}
		return a
	}
	now = time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.config.timeout)
	defer cancel()
	return s.attempt(ctx, now, m, to)
}

// prepare checks all of m and fills in what it leaves empty. It changes nothing if it returns an error.
func (s *Sender) prepare(ctx context.Context, now time.Time, m *Message) (*destination, error) {
	if ctx == nil {
		return nil, invalid("context nil: use context.Background")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, invalid("message nil")
	}
	to, err := s.urls.parse(m.URL)
	if err != nil {
		return nil, err
	}
	if err := m.validate(s.config.maxPayload); err != nil {
		return nil, err
	}
	if m.ID == "" {
		m.ID = newID()
	}
	if m.CreatedAt.IsZero() {
		m.CreatedAt = now
	}
	return to, nil
}

// attempt requires that m is valid, that to is its URL, and that ctx ends with the attempt's time, which begins now.
func (s *Sender) attempt(ctx context.Context, now time.Time, m *Message, to *destination) (a Attempt) {
	a.Number = m.Attempts + 1
	a.Start = now
	defer func() {
		if v := recover(); v != nil {
			a.StatusCode = 0
			a.Err = newSendError(to.url, &localError{"recovered", &panicError{v, debug.Stack()}})
		}
		a.Duration = time.Since(a.Start)
	}()
	req, via, err := s.request(ctx, m, to, a.Start)
	if err == nil {
		var resp *http.Response
		if resp, err = via.RoundTrip(req); err == nil {
			err = readResponse(&a, resp)
		}
	}
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded && !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // a context made of ctx says just that it was canceled
		}
		a.Err = newSendError(to.url, err)
	}
	return a
}

// request builds a signed request and says what it goes through.
func (s *Sender) request(ctx context.Context, m *Message, to *destination, t time.Time) (*http.Request, http.RoundTripper, error) {
	var e Endpoint
	if s.config.endpoints != nil {
		var err error
		if e, err = s.config.endpoints(ctx, m.URL); err != nil {
			return nil, nil, &localError{"asking for the endpoint", err}
		}
		if e.Disabled {
			return nil, nil, ErrDisabled
		}
		if err := validateHeader(e.Header); err != nil {
			return nil, nil, &localError{"asking for the endpoint", err}
		}
	}
	x := &exchange{url: *to.url, values: [...]string{s.config.userAgent, "application/json"}}
	x.body.Reset(m.Payload)
	header := make(http.Header, 8)
	header["User-Agent"] = x.values[0:1:1]
	header["Content-Type"] = x.values[1:2:2]
	for _, h := range [...]http.Header{s.config.header, e.Header, m.Header} {
		for key, values := range h {
			header[http.CanonicalHeaderKey(key)] = append([]string(nil), values...)
		}
	}
	if s.config.proxy != nil {
		ctx = useProxy(ctx)
	}
	// No GetBody: with it net/http would replay a POST on its own when a connection breaks.
	req := (&http.Request{
		Method: http.MethodPost, URL: &x.url, Host: x.url.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(&x.body), ContentLength: int64(len(m.Payload)),
	}).WithContext(ctx)
	signer := e.Signer
	if signer == nil {
		signer = s.config.signer
	}
	if signer != nil {
		if err := signer.Sign(req, m, t); err != nil {
			return nil, nil, &localError{"signing", err}
		}
	}
	return req, s.transport(e.TLS), nil
}

// An exchange is what a request has of its own: whoever gets the request may rewrite it.
type exchange struct {
	url    url.URL
	body   bytes.Reader
	values [2]string // of headers
}

var errStatus = errors.New("impossible status code")

// readResponse fills in what the response says. Once there is a status it counts, even if the body breaks off.
func readResponse(a *Attempt, resp *http.Response) error {
	if resp.Body != nil {
		defer resp.Body.Close()
	}
	if resp.StatusCode < 100 {
		return &statusError{resp.StatusCode}
	}
	a.StatusCode = resp.StatusCode
	if value := resp.Header.Get("Retry-After"); value != "" {
		a.RetryAfter = parseRetryAfter(value, time.Now())
	}
	if resp.Body == nil || resp.Body == http.NoBody || resp.ContentLength == 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	buf := buffers.Get().(*[maxResponseBody]byte)
	defer buffers.Put(buf)
	n, err := io.ReadFull(resp.Body, buf[:])
	a.Body = bytes.Clone(buf[:n])
	if err == nil {
		io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	return nil
}

var buffers = sync.Pool{New: func() any { return new([maxResponseBody]byte) }}

// statusError is an answer whose status isn't one.
type statusError struct{ code int }

func (e *statusError) Error() string { return errStatus.Error() + " " + strconv.Itoa(e.code) }

func (e *statusError) Unwrap() error { return errStatus }

// transport returns what requests with the given client certificate go through.
func (s *Sender) transport(certificate *tls.Config) http.RoundTripper {
	if certificate == nil {
		return s.common.roundTripper
	}
	s.mu.Lock()
	t := s.use(certificate)
	s.mu.Unlock()
	if t == nil { // wrapTransport is the user's, so it is called without the lock
		made := s.newTransport(certificate)
		s.mu.Lock()
		if t = s.use(certificate); t == nil {
			if len(s.transports) >= maxTransports {
				s.evict()
			}
			s.transports[certificate] = made
			t = s.use(certificate)
		}
		s.mu.Unlock()
	}
	return t.roundTripper
}

// use returns the transport of a certificate if there is one. It requires that mu is held.
func (s *Sender) use(certificate *tls.Config) *transport {
	t := s.transports[certificate]
	if t != nil {
		s.clock++
		t.used = s.clock
	}
	return t
}

// evict forgets the transport that was used longest ago. Requests that still use it finish. It requires that
// mu is held.
func (s *Sender) evict() {
	var oldest *tls.Config
	least := s.clock + 1
	for certificate, t := range s.transports {
		if t.used < least {
			oldest, least = certificate, t.used
		}
	}
	s.transports[oldest].pool.CloseIdleConnections()
	delete(s.transports, oldest)
}

func (s *Sender) newTransport(certificate *tls.Config) *transport {
	if certificate == nil {
		certificate = s.config.tls
	}
	if certificate == nil {
		certificate = new(tls.Config)
	}
	certificate = certificate.Clone()
	certificate.MinVersion = max(certificate.MinVersion, tls.VersionTLS12)
	if certificate.ClientSessionCache == nil {
		certificate.ClientSessionCache = tls.NewLRUClientSessionCache(tlsSessions)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	connections := &openConnections{dial: s.dial, most: s.mostConnections, open: make(map[string]int)}
	pool := &http.Transport{ // Proxy is nil: the environment's are ignored
		DialContext:            connections.DialContext,
		TLSClientConfig:        certificate,
		TLSHandshakeTimeout:    s.config.timeout + dialGrace,
		DisableCompression:     true,
		MaxIdleConns:           maxIdleConnections,
		MaxIdleConnsPerHost:    s.config.hostConcurrency,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		Protocols:              protocols,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: s.config.timeout,
			MaxReceiveBufferPerStream: maxReceiveBuffer,
		},
	}
	if s.config.proxy != nil {
		pool.Proxy = http.ProxyURL(s.config.proxy)
		pool.DialContext = s.dialProxy
	}
	t := &transport{roundTripper: pool, pool: pool}
	if s.config.wrapTransport != nil {
		t.roundTripper = s.config.wrapTransport(pool)
	}
	return t
}

// CloseIdleConnections closes the connections that no attempt is using; without it they stay for 90 s. The
// Sender can be used afterwards.
func (s *Sender) CloseIdleConnections() {
	s.common.pool.CloseIdleConnections()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		t.pool.CloseIdleConnections()
	}
}
