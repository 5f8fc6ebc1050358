package faults

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// tlsFaults are faults of encryption and of who a receiver says it is.
var tlsFaults = []fault{
	{"an expired certificate", distrusted, badCertificate(isInvalid(x509.Expired), func() tls.Certificate {
		return trusted().issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	})},
	{"a certificate that isn't valid yet", distrusted, badCertificate(isInvalid(x509.Expired), func() tls.Certificate {
		return trusted().issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	})},
	{"a certificate for another name", distrusted, badCertificate(isError[x509.HostnameError], func() tls.Certificate {
		return trusted().issue(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"receiver.example"} })
	})},
	{"a certificate for clients only", distrusted, badCertificate(isInvalid(x509.IncompatibleUsage), func() tls.Certificate {
		return trusted().issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	})},
	{"a certificate of an unknown authority", distrusted, badCertificate(isError[x509.UnknownAuthorityError], func() tls.Certificate {
		return newAuthority().issue(nil)
	})},
	{"a certificate that vouches for itself", distrusted, badCertificate(isError[x509.UnknownAuthorityError], selfSigned)},
	{
		"a certificate that changes from bad to good",
		"Retries, and delivers once the certificate is good. No dispatcher has to be restarted.", certificateMended,
	},
	{
		"TLS 1.1 only",
		"Refuses to speak, whatever `WithTLSConfig` says, and retries with backoff. It counts against the host.",
		handshakeFails(func(t *testing.T, err error) { assert.True(t, isError[*net.OpError](err)) }, onlyTLS11),
	},
	{
		"a receiver that demands a client certificate", "Retries with backoff. It counts against the host.",
		handshakeFails(func(t *testing.T, err error) { assert.True(t, isError[*net.OpError](err), "%v", err) }, demanding),
	},
	{
		"a handshake that is broken off with FIN", "Retries with backoff. It counts against the host.",
		handshakeFails(isTransportError, func(c *rawConn) { c.in.Peek(100) }),
	},
	{
		"a handshake that is broken off with RST", "Retries with backoff. It counts against the host.",
		handshakeFails(isTransportError, func(c *rawConn) { c.in.Peek(100); c.reset() }),
	},
	{
		"a handshake that is broken off in the middle of a record", "Retries with backoff. It counts against the host.",
		handshakeFails(isTransportError, func(c *rawConn) {
			c.in.Peek(100)
			c.write("\x16\x03\x03\x01\x00\x02\x00") // the beginning of a ServerHello
		}),
	},
	{
		"plain HTTP where TLS is spoken to", "Retries with backoff. It counts against the host.",
		handshakeFails(func(t *testing.T, err error) { assert.True(t, isError[tls.RecordHeaderError](err)) }, func(c *rawConn) {
			c.in.Peek(100)
			c.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			c.hang()
		}),
	},
	{
		"TLS where plain HTTP is spoken to", "Retries with backoff. It counts against the host.", tlsServerOnPlainURL,
	},
	{
		"a handshake that stalls",
		"The attempt ends in time, sends less to that host, and retries over a new connection.", handshakeStalls,
	},
	{
		"a client certificate for each endpoint",
		"Uses a connection that was opened with one certificate for no other endpoint, on the same host neither.", clientCertificates,
	},
	{
		"a client certificate that the receiver turns down",
		"Retries with backoff. It counts against the host; once the certificate is replaced, its messages are delivered.", clientCertificateReplaced,
	},
}

const distrusted = "Sends nothing, and retries with backoff. It counts against the host."

// badCertificate is a receiver whose certificate must not be trusted, for a reason that is checks.
func badCertificate(is func(error) bool, certificate func() tls.Certificate) func(t *testing.T) {
	return func(t *testing.T) {
		cfg := &tls.Config{Certificates: []tls.Certificate{certificate()}}
		handshakeFails(func(t *testing.T, err error) {
			assert.True(t, isError[*tls.CertificateVerificationError](err), "%v", err)
			assert.True(t, is(err), "%v", err)
		}, overTLS(cfg, answerOK))(t)
	}
}

func isInvalid(reason x509.InvalidReason) func(error) bool {
	return func(err error) bool {
		var invalid x509.CertificateInvalidError
		return errors.As(err, &invalid) && invalid.Reason == reason
	}
}

func isError[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// handshakeFails is a receiver with which no handshake succeeds.
func handshakeFails(check func(t *testing.T, err error), handshake script) func(t *testing.T) {
	return func(t *testing.T) {
		w := newWatch(t, signpost.WithTLSConfig(&tls.Config{RootCAs: trusted().pool, MinVersion: tls.VersionTLS10}), twoAttempts)
		r := newRawReceiver(w.scene, repeat(2, handshake)...)
		os := w.ends(w.send(overHTTPS(r.URL)))
		require.Equal(t, []signpost.State{signpost.Retrying, signpost.Dead}, states(os))
		assert.ErrorIs(t, os[1].Reason, signpost.ErrExhausted)
		for _, o := range os {
			assert.Zero(t, o.Attempt.StatusCode)
			assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt), "%v", o.Attempt.Err)
			check(t, o.Attempt.Err)
		}
		w.blamed(t, r.URL, 2)
		connections, requests := r.counts()
		assert.Equal(t, 2, connections)
		assert.Zero(t, requests, "nothing may be sent to whom is not trusted")
	}
}

// twoAttempts makes a message dead after two attempts.
var twoAttempts = signpost.WithRetryPolicy(policy(2))

func isTransportError(t *testing.T, err error) {
	assert.Error(t, err)
	assert.False(t, isError[*tls.CertificateVerificationError](err))
}

func overHTTPS(url string) string { return strings.Replace(url, "http:", "https:", 1) }

// overTLS is a script behind a handshake.
func overTLS(cfg *tls.Config, then script) script {
	return func(c *rawConn) {
		if _, again := c.Conn.(*tls.Conn); !again {
			t := tls.Server(c.Conn, cfg)
			if t.Handshake() != nil {
				return
			}
			c.Conn, c.in = t, bufio.NewReader(t)
		}
		then(c)
	}
}

// onlyTLS11 speaks no later version.
func onlyTLS11(c *rawConn) {
	cfg := &tls.Config{Certificates: []tls.Certificate{goodCertificate()}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	overTLS(cfg, answerOK)(c)
}

// demanding wants a client certificate. In TLS 1.3 a client learns that it has failed after the handshake.
func demanding(c *rawConn) {
	cfg := &tls.Config{Certificates: []tls.Certificate{goodCertificate()}, ClientAuth: tls.RequireAnyClientCert}
	overTLS(cfg, answerOK)(c)
}

func certificateMended(t *testing.T) {
	expired := trusted().issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	bad := overTLS(&tls.Config{Certificates: []tls.Certificate{expired}}, answerOK)
	good := overTLS(&tls.Config{Certificates: []tls.Certificate{goodCertificate()}}, answerOK)
	w := newWatch(t, signpost.WithTLSConfig(&tls.Config{RootCAs: trusted().pool}))
	r := newRawReceiver(w.scene, append(repeat(3, bad), repeat(2, good)...)...)
	os := w.ends(w.send(overHTTPS(r.URL)))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
	for _, o := range os[:3] {
		assert.True(t, isInvalid(x509.Expired)(o.Attempt.Err), "%v", o.Attempt.Err)
	}
	assert.Equal(t, 200, os[3].Attempt.StatusCode)
	w.blamed(t, r.URL, 3)
	os = w.ends(w.send(overHTTPS(r.URL)))
	assert.Equal(t, []signpost.State{signpost.Delivered}, states(os))
	connections, requests := r.counts()
	assert.Equal(t, 4, connections)
	assert.Equal(t, 2, requests)
}

func tlsServerOnPlainURL(t *testing.T) {
	tlsServer := overTLS(&tls.Config{Certificates: []tls.Certificate{goodCertificate()}}, answerOK)
	w := newWatch(t, twoAttempts)
	r := newRawReceiver(w.scene, repeat(2, tlsServer)...)
	os := w.ends(w.send(r.URL))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Dead}, states(os))
	for _, o := range os {
		assert.Zero(t, o.Attempt.StatusCode)
		assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt), "%v", o.Attempt.Err)
	}
	w.blamed(t, r.URL, 2)
	connections, requests := r.counts()
	assert.Equal(t, 2, connections)
	assert.Zero(t, requests)
}

func handshakeStalls(t *testing.T) {
	w := newWatch(t, signpost.WithTLSConfig(&tls.Config{RootCAs: trusted().pool}), signpost.WithTimeout(300*time.Millisecond), patient)
	closed := make(chan struct{}, 2)
	stall := func(c *rawConn) {
		c.hang()
		closed <- struct{}{}
	}
	good := overTLS(&tls.Config{Certificates: []tls.Certificate{goodCertificate()}}, answerOK)
	r := newRawReceiver(w.scene, append(repeat(2, stall), repeat(50, good)...)...)
	os := w.ends(w.send(overHTTPS(r.URL)))
	assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
	require.GreaterOrEqual(t, len(os), 3)
	for _, o := range os[:2] {
		assert.Equal(t, signpost.Retrying, o.State)
		assert.ErrorIs(t, o.Attempt.Err, context.DeadlineExceeded)
		assert.Equal(t, signpost.Throttle, signpost.Classify(o.Attempt))
		assert.GreaterOrEqual(t, o.Attempt.Duration, 300*time.Millisecond)
	}
	w.blamed(t, r.URL, 2)
	for range 2 {
		awaitWord(t, closed, "the end of a stalled connection")
	}
}

// patient is a policy for short timeouts, which a healthy receiver may miss on a machine with much to do.
var patient = signpost.WithRetryPolicy(policy(50))

// awaitWord waits for a word.
func awaitWord[T any](t *testing.T, from <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for "+what)
	}
	return v
}
