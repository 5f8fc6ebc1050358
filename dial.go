package signpost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"
)

// dial connects to an address that the guard allows.
func (s *Sender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if err := s.config.guard.Host(host); err != nil {
		return nil, err
	}
	// net says what was wrong with the first address. If the guard stopped that one, what was wrong with an allowed one counts.
	var down atomic.Pointer[error]
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: func(_, _ string, err error) {
		if err != nil && !errors.Is(err, ErrBlocked) {
			down.CompareAndSwap(nil, &err)
		}
	}})
	dialer := net.Dialer{Timeout: s.config.timeout + dialGrace, ControlContext: s.config.guard.Control}
	conn, err := dialer.DialContext(ctx, network, address)
	if other := down.Load(); other != nil && errors.Is(err, ErrBlocked) {
		err = *other
	}
	return conn, lookupError(err)
}

// dialProxy connects to the proxy. What net/http then says to it has no deadline, or one of a minute, so the connection has
// one until it is used; see useProxy.
func (s *Sender) dialProxy(ctx context.Context, network, address string) (net.Conn, error) {
	deadline := time.Now().Add(s.config.timeout + dialGrace)
	conn, err := (&net.Dialer{Deadline: deadline}).DialContext(ctx, network, address)
	if err != nil {
		return nil, lookupError(err)
	}
	conn.SetDeadline(deadline)
	return conn, nil
}

// useProxy returns a context for a request through a proxy: the connection that it gets loses dialProxy's deadline.
func useProxy(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		// An HTTP/1.1 connection that was dialled for another request, which then didn't need it, counts as reused. HTTP/2
		// sets deadlines of its own, and tells who is first.
		if t, ok := got.Conn.(*tls.Conn); ok && got.Reused && t.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		got.Conn.SetDeadline(time.Time{})
	}})
}

// lookupError adds to the error of a look-up that file descriptors are used up, if they are: net keeps no more than the
// text of what was behind it, so this asks for one more.
func lookupError(err error) error {
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsTemporary {
		return err
	}
	probe, lack := net.ListenPacket("udp", "127.0.0.1:0")
	if lack == nil {
		probe.Close()
	} else if errors.Is(lack, syscall.EMFILE) || errors.Is(lack, syscall.ENFILE) {
		err = fmt.Errorf("%w: %w", err, lack)
	}
	return err
}
