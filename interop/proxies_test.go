package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// What receivers stand behind leaves alone what is signed.
func TestProxies(t *testing.T) {
	for _, p := range []struct {
		name, config string
		args         []string
	}{
		{"nginx", "nginx/nginx.conf.tmpl", []string{"-e", "stderr", "-p", ".", "-c", "config"}},
		{"haproxy", "haproxy/haproxy.cfg.tmpl", []string{"-db", "-f", "config"}},
	} {
		t.Run(p.name, func(t *testing.T) {
			path, err := exec.LookPath(p.name)
			if err != nil {
				skip(t, "%s is missing: install Debian's package of that name: %v", p.name, err)
			}
			testProxy(t, path, p.config, p.args)
		})
	}
}

func testProxy(t *testing.T, path, config string, args []string) {
	verifying, err := signpost.NewVerifier(current.secret, current.private.Public())
	require.NoError(t, err)
	var seen arrivals
	receiver := verifying.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.add(r.Header)
		receiver.ServeHTTP(w, r)
	}))
	t.Cleanup(backend.Close)
	certificate, roots := newCertificate(t)
	addresses := startProxy(t, path, config, args, backend.Listener.Addr().String(), certificate)
	trust := signpost.WithTLSConfig(&tls.Config{RootCAs: roots})
	// Without keep-alive nginx ends a connection of HTTP/2 after one request, and those that are on it already come again.
	again := signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 20, BackOff: func() backoff.BackOff {
		return backoff.NewConstantBackOff(10 * time.Millisecond)
	}})

	for i, c := range []struct {
		name, scheme, protocol string
		keepAlive              bool
		opts                   []signpost.Option
	}{
		{"HTTP/1.1", "http", "HTTP/1.1", true, nil},
		{"HTTP/1.1 without keep-alive", "http", "HTTP/1.1", false, nil},
		{"TLS and HTTP/2", "https", "HTTP/2.0", true, []signpost.Option{trust}},
		{"TLS and HTTP/2 without keep-alive", "https", "HTTP/2.0", false, []signpost.Option{trust, again}},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := c.scheme + "://" + addresses[i] + "/webhooks?from=signpost"
			for name, s := range map[string]signpost.Signer{"v1": standard(current), "v1a": asymmetric(current)} {
				seen.take()
				for payload, a := range send(t, url, s, payloads, c.opts...) {
					assert.Equal(t, http.StatusOK, a.StatusCode, "%s, %s", name, payload)
				}
				protocols, ports := seen.take()
				assert.Equal(t, []string{c.protocol}, protocols, "what the proxy was spoken to in")
				if c.keepAlive {
					assert.Less(t, len(ports), len(payloads), "connections to the proxy")
				} else if c.scheme == "http" { // a connection of HTTP/2 lives on while there are requests on it
					assert.GreaterOrEqual(t, len(ports), len(payloads)-2, "connections to the proxy; a port may come twice")
				}
			}
			for name, a := range tamper(t, url, verifier{sign: standard}, payloads[0], trust) {
				assert.Equal(t, http.StatusUnauthorized, a.StatusCode, name)
			}
		})
	}
	if filepath.Base(path) == "nginx" {
		t.Run("its limits", func(t *testing.T) { // which docs/receivers.md warns of
			url := "http://" + addresses[0] + "/"
			large := payload{"more than 1 MiB", `"` + strings.Repeat("x", 1<<20) + `"`}
			assert.Equal(t, http.StatusRequestEntityTooLarge, send(t, url, standard(current), []payload{large})[large.name].StatusCode)

			both := signpost.Signers(standard(current), signpost.HMACSigner("X_Signature", "", current.raw()), plain(current))
			send(t, url, both, payloads[:1])
			assert.Empty(t, seen.header["X_signature"], "a name with an underscore")
			assert.NotEmpty(t, seen.header["X-Signature"])
		})
	}
}

// arrivals is what a receiver behind a proxy has seen.
type arrivals struct {
	mu               sync.Mutex
	protocols, ports map[string]bool
	header           http.Header // of the last request
}

func (a *arrivals) add(h http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.protocols == nil {
		a.protocols, a.ports = map[string]bool{}, map[string]bool{}
	}
	a.protocols[h.Get("X-Protocol")] = true
	a.ports[h.Get("X-Client-Port")] = true
	a.header = h
}

// take returns the protocols that the proxy was spoken to in, and the ports of those who spoke, and forgets them.
func (a *arrivals) take() (protocols, ports []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	protocols, ports = slices.Collect(maps.Keys(a.protocols)), slices.Collect(maps.Keys(a.ports))
	a.protocols, a.ports = nil, nil
	return protocols, ports
}

// untilStdinEnds runs a command that would outlive a test that is killed.
const untilStdinEnds = `exec 3<&0; "$@" & pid=$!; (cat <&3; kill -9 $pid) >/dev/null 2>&1 & wait $pid`

// startProxy starts a proxy before the receiver for the life of the test, and returns the addresses of its four servers.
func startProxy(t *testing.T, path, config string, args []string, receiver string, certificate []byte) []string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "certificate.pem"), certificate, 0o600))
	for range 3 { // somebody else may take a port between our choice and the proxy's start
		addresses, ports := freePorts(t, 4)
		var text bytes.Buffer
		values := map[string]any{"Ports": ports, "Receiver": receiver}
		require.NoError(t, template.Must(template.ParseFiles(config)).Execute(&text, values))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "config"), text.Bytes(), 0o600))
		var log output
		cmd := exec.Command("sh", append([]string{"-c", untilStdinEnds, "sh", path}, args...)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = folder, &log, &log
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			cmd.Wait()
		}()
		if accepts(addresses, ended) {
			t.Cleanup(func() {
				stdin.Close()
				<-ended
				if t.Failed() {
					t.Logf("%s says: %s", path, &log)
				}
			})
			return addresses
		}
		stdin.Close()
		<-ended
		t.Logf("%s didn't start: %s", path, &log)
	}
	t.Fatal("no luck with three sets of ports")
	return nil
}

// freePorts returns addresses on which nobody listens now.
func freePorts(t *testing.T, n int) (addresses []string, ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close() // not before all are chosen, so that they differ
		addresses = append(addresses, l.Addr().String())
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return addresses, ports
}

// accepts waits until all addresses can be connected to, or ended is closed.
func accepts(addresses []string, ended chan struct{}) bool {
	timeout := time.After(20 * time.Second)
	for _, address := range addresses {
		for {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				conn.Close()
				break
			}
			select {
			case <-ended:
				return false
			case <-timeout:
				return false
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return true
}

// newCertificate returns a certificate for 127.0.0.1 with its key, in PEM, and what trusts it.
func newCertificate(t *testing.T) ([]byte, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	from := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, from, from, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), roots
}
