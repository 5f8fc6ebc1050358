package receiver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/payload"
	"github.com/signpost-go/signpost/bench/internal/receiver"
)

const patience = 30 * time.Second // for what takes milliseconds on a machine with nothing else to do

// peer speaks to a receiver.
type peer struct {
	*testing.T
	receiver *receiver.Receiver
	urls     []string
	signer   signpost.Signer
	client   http.Client
}

func newPeer(t *testing.T, c receiver.Config) *peer {
	t.Helper()
	secret := signpost.NewSecret()
	c.Secret = secret.Reveal()
	r, err := receiver.New(c)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	p := &peer{T: t, receiver: r, urls: r.URLs()}
	p.signer, err = signpost.NewSigner(secret)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.Roots())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(0)}}
	t.Cleanup(transport.CloseIdleConnections)
	p.client.Transport = transport
	return p
}

// post sends message n and returns the status.
func (p *peer) post(ctx context.Context, url string, n int) (int, error) {
	p.Helper()
	body := payload.New(300)
	body.Number(n)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	require.NoError(p, err)
	require.NoError(p, p.signer.Sign(req, &signpost.Message{ID: "msg_1", Payload: body}, time.Now()))
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func (p *peer) mustPost(url string, n, status int) {
	p.Helper()
	got, err := p.post(p.Context(), url, n)
	require.NoError(p, err)
	require.Equal(p, status, got)
}

func (p *peer) report() receiver.Report {
	p.Helper()
	report, err := p.receiver.Report()
	require.NoError(p, err)
	return report
}

// eventually waits until so many connections are open at bad receivers.
func (p *peer) eventually(open int) {
	p.Helper()
	require.Eventually(p, func() bool { return p.report().BadNow == open }, patience, time.Millisecond)
}

func TestHostsHaveDistinctAddresses(t *testing.T) {
	p := newPeer(t, receiver.Config{Hosts: make([]receiver.Host, 600), Block: 3})
	seen := map[string]bool{}
	for _, s := range p.urls {
		u, err := url.Parse(s)
		require.NoError(t, err)
		assert.Regexp(t, `^127\.13\.`, u.Hostname())
		assert.False(t, seen[u.Hostname()], "%s is there twice", u.Hostname())
		seen[u.Hostname()] = true
	}
	assert.Len(t, seen, 600)
}

func TestArrivals(t *testing.T) {
	p := newPeer(t, receiver.Config{Messages: 3, Hosts: make([]receiver.Host, 2)})
	before := clock.Now()
	p.mustPost(p.urls[0], 0, 200)
	between := clock.Now()
	p.mustPost(p.urls[1], 2, 200)
	p.mustPost(p.urls[0], 0, 200)
	report := p.report()
	assert.Equal(t, 2, report.Arrived)
	assert.Equal(t, 1, report.Duplicates)
	require.Len(t, report.Arrivals, 3)
	assert.True(t, before <= report.Arrivals[0] && report.Arrivals[0] <= between, "the first arrival counts")
	assert.Zero(t, report.Arrivals[1])
	assert.Greater(t, report.Arrivals[2], between)

	require.NoError(t, p.receiver.Wait(2, patience))
	assert.ErrorContains(t, p.receiver.Wait(3, time.Millisecond), "2 of 3 messages")
	done := make(chan error)
	go func() { done <- p.receiver.Wait(3, patience) }()
	p.mustPost(p.urls[0], 1, 200)
	assert.NoError(t, <-done)
}

func TestWhatMustNotComeIsAnError(t *testing.T) {
	for _, c := range []struct {
		name, err string
		send      func(*peer)
	}{
		{"a bad signature", "signature", func(p *peer) {
			var err error
			p.signer, err = signpost.NewSigner(signpost.NewSecret())
			require.NoError(p, err)
			p.mustPost(p.urls[0], 0, 400)
		}},
		{"an unknown message", "there are only 1", func(p *peer) { p.mustPost(p.urls[0], 1, 200) }},
		{"no POST", "GET", func(p *peer) {
			resp, err := p.client.Get(p.urls[0])
			require.NoError(p, err)
			resp.Body.Close()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, receiver.Config{Messages: 1, Hosts: make([]receiver.Host, 1)})
			c.send(p)
			_, err := p.receiver.Report()
			assert.ErrorContains(t, err, c.err)
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	secret := signpost.NewSecret().Reveal()
	for _, c := range []struct {
		name, err string
		config    receiver.Config
	}{
		{"no hosts", "0 hosts", receiver.Config{Secret: secret}},
		{"a block too far", "block 101", receiver.Config{Secret: secret, Hosts: make([]receiver.Host, 1), Block: 101}},
		{"no secret", "secret", receiver.Config{Hosts: make([]receiver.Host, 1)}},
		{"an unknown behaviour", `"sulk"`, receiver.Config{Secret: secret, Hosts: []receiver.Host{{Endpoints: []receiver.Behaviour{{Kind: "sulk"}}}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := receiver.New(c.config)
			assert.ErrorContains(t, err, c.err)
		})
	}
}
