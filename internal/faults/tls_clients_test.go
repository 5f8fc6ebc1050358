package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// clientCertificates has three endpoints on one host, two of them with a client certificate of their own.
func clientCertificates(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			configs := map[string]*tls.Config{"/a": withClientCertificate(), "/b": withClientCertificate(), "/nobody": nil}
			s := newScene(t, signpost.WithTLSConfig(&tls.Config{RootCAs: trusted().pool}),
				signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
					_, path, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
					return signpost.Endpoint{TLS: configs["/"+path]}, nil
				}))
			r := newMutualReceiver(s, protocol == "HTTP/2.0", tls.RequestClientCert)
			for range 3 {
				for path := range configs {
					os := s.ends(s.send(r.URL + path))
					assert.Equal(t, []signpost.State{signpost.Delivered}, states(os))
				}
			}
			var ids []string
			for range 5 { // and at the same time
				for path := range configs {
					ids = append(ids, s.sendOnly(r.URL+path))
				}
			}
			for _, id := range ids {
				assert.Equal(t, signpost.Delivered, s.ends(id)[0].State)
			}
			seen := r.all()
			require.Len(t, seen, 3*3+5*3)
			owners := make(map[string]string) // of connections
			for i, v := range seen {
				assert.Equal(t, protocol, v.protocol)
				assert.Equal(t, serialOf(configs[v.path]), v.serial, "the client certificate of a request to %s", v.path)
				if owner, known := owners[v.connection]; known {
					assert.Equal(t, owner, v.serial, "a connection is used with another certificate than it was opened with")
				}
				owners[v.connection] = v.serial
				if i == 8 {
					assert.Len(t, owners, 3, "one after the other, each certificate's requests use the same connection again")
				}
			}
		})
	}
}

// clientCertificateReplaced is a receiver that turns down the first client certificate and takes the second one.
func clientCertificateReplaced(t *testing.T) {
	stranger := newAuthority().issue(nil)
	turnedDown := &tls.Config{RootCAs: trusted().pool, Certificates: []tls.Certificate{stranger}}
	replacement := withClientCertificate()
	var asked atomic.Int32
	w := newWatch(t, signpost.WithEndpoints(func(_ context.Context, url string) (signpost.Endpoint, error) {
		switch {
		case strings.HasPrefix(url, "http:"): // the neighbour
			return signpost.Endpoint{}, nil
		case asked.Add(1) <= 3:
			return signpost.Endpoint{TLS: turnedDown}, nil
		}
		return signpost.Endpoint{TLS: replacement}, nil
	}))
	r := newMutualReceiver(w.scene, true, tls.RequireAndVerifyClientCert)
	os := w.ends(w.send(r.URL + "/"))
	require.Equal(t, []signpost.State{signpost.Retrying, signpost.Retrying, signpost.Retrying, signpost.Delivered}, states(os))
	for _, o := range os[:3] {
		assert.Zero(t, o.Attempt.StatusCode)
		assert.Equal(t, signpost.Retry, signpost.Classify(o.Attempt), "%v", o.Attempt.Err)
	}
	w.blamed(t, r.URL, 3)
	seen := r.all()
	require.Len(t, seen, 1, "no request comes through without a certificate that is trusted")
	assert.Equal(t, serialOf(replacement), seen[0].serial)
}

func withClientCertificate() *tls.Config {
	return &tls.Config{RootCAs: trusted().pool, Certificates: []tls.Certificate{trusted().issue(nil)}}
}

// serialOf is how a request's client certificate is told from others.
func serialOf(c *tls.Config) string {
	if c == nil {
		return "none"
	}
	return fmt.Sprint(c.Certificates[0].Leaf.SerialNumber)
}

// A mutualReceiver is healthy, and notes with which client certificate each request came.
type mutualReceiver struct {
	URL string

	mu     sync.Mutex
	visits []certifiedVisit
}

// A certifiedVisit is a request, and the client certificate with which it came.
type certifiedVisit struct{ path, serial, connection, protocol string }

func newMutualReceiver(s *scene, h2 bool, auth tls.ClientAuthType) *mutualReceiver {
	r := &mutualReceiver{}
	server := httptest.NewUnstartedServer(s.ledger.Handler(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		v := certifiedVisit{req.URL.Path, "none", req.RemoteAddr, req.Proto}
		if certificates := req.TLS.PeerCertificates; len(certificates) > 0 {
			v.serial = fmt.Sprint(certificates[0].SerialNumber)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.visits = append(r.visits, v)
	})))
	server.EnableHTTP2 = h2
	server.TLS = &tls.Config{Certificates: []tls.Certificate{goodCertificate()}, ClientAuth: auth, ClientCAs: trusted().pool}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	s.t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.URL = server.URL
	return r
}

func (r *mutualReceiver) all() []certifiedVisit {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]certifiedVisit(nil), r.visits...)
}
