package receiver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/payload"
)

// A Receiver serves hosts. Its methods are safe for concurrent use.
type Receiver struct {
	hosts       []*host
	scheme      string
	authority   *authority // nil without TLS
	verifier    *signpost.Verifier
	ledger      *ledger
	gauge       *gauge
	started     atomic.Int64 // a clock.Time; 0: not yet
	connections atomic.Int64 // that have brought a request since the start
	resumed     atomic.Int64 // … whose TLS handshake resumed a session
	ctx         context.Context
	cancel      context.CancelFunc // lets go whoever hangs or drips
	server      *http.Server
	serving     sync.WaitGroup
}

// A Report is what a receiver has seen.
type Report struct {
	Arrivals    []clock.Time // of each message, for the first time; 0: it hasn't come
	Arrived     int          // messages
	Duplicates  int          // requests for messages that had come already
	BadNow      int          // connections open at bad receivers
	BadMost     int          // … at any time since the start
	Connections int          // that have brought a request since the start
	Resumed     int          // … whose TLS handshake resumed a session
}

// New returns a Receiver that serves what c says. Close ends it.
func New(c Config) (*Receiver, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	secret, err := signpost.ParseSecret(c.Secret)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		return nil, fmt.Errorf("receiver: %w", err)
	}
	r := &Receiver{scheme: "http", verifier: verifier, ledger: newLedger(c.Messages), gauge: newGauge(len(c.Hosts))}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.server = &http.Server{
		Handler: r, ConnContext: withConn,
		ErrorLog: log.New(io.Discard, "", 0), // senders that hang up are what this is about
	}
	r.server.SetKeepAlivesEnabled(!c.Once)
	for i, h := range c.Hosts {
		h, err := newHost(i, c.Block, h, r.gauge)
		if err != nil {
			r.Close()
			return nil, err
		}
		r.hosts = append(r.hosts, h)
	}
	if err := r.serve(c.TLS); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Receiver) serve(secure bool) error {
	wrap := func(l net.Listener) net.Listener { return l }
	if secure {
		var err error
		if r.authority, err = newAuthority(); err != nil {
			return fmt.Errorf("receiver: a certificate authority: %w", err)
		}
		config, err := r.authority.serverConfig(r.hosts)
		if err != nil {
			return err
		}
		r.scheme = "https"
		wrap = func(l net.Listener) net.Listener { return tls.NewListener(l, config) }
	}
	for _, h := range r.hosts {
		if h.Behaviour.Kind == Refuse {
			h.Close()
			continue
		}
		r.serving.Go(func() { r.server.Serve(wrap(h)) }) // until it is closed
	}
	return nil
}

// URLs are where the hosts are reached: one for each endpoint, or for each host without.
func (r *Receiver) URLs() []string {
	var urls []string
	for _, h := range r.hosts {
		urls = append(urls, h.urls(r.scheme)...)
	}
	return urls
}

// Roots is the PEM certificate that those who connect must trust; empty without TLS.
func (r *Receiver) Roots() []byte {
	if r.authority == nil {
		return nil
	}
	return r.authority.pem()
}

// Start lets the run begin at t: what behaves badly after some time does so counted from t, and what the report
// counts since the start is forgotten.
func (r *Receiver) Start(t clock.Time) {
	r.started.Store(int64(t))
	r.connections.Store(0)
	r.resumed.Store(0)
	r.gauge.restart()
	for _, h := range r.hosts {
		if h.Behaviour.Bad() && h.Behaviour.After > 0 {
			time.AfterFunc(t.Add(h.Behaviour.After).Sub(clock.Now()), func() { r.gauge.turnBad(h.index) })
		}
	}
}

// Wait returns when count messages have arrived. After patience without that it returns an error.
func (r *Receiver) Wait(count int, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-r.ledger.wait(count):
		return nil
	case <-timer.C:
		var report Report
		if err := r.ledger.report(&report); err != nil {
			return err
		}
		return fmt.Errorf("receiver: %d of %d messages have arrived after %v", report.Arrived, count, patience)
	}
}

// Report returns what the receiver has seen. If a request has come that must not have, because its signature doesn't
// verify, say, that is the error.
func (r *Receiver) Report() (Report, error) {
	report := Report{Connections: int(r.connections.Load()), Resumed: int(r.resumed.Load())}
	report.BadNow, report.BadMost = r.gauge.value()
	err := r.ledger.report(&report)
	return report, err
}

// Close ends the receiver and all its connections.
func (r *Receiver) Close() {
	r.cancel()
	r.server.Close()
	for _, h := range r.hosts { // those that were not served yet
		h.Close()
	}
	r.serving.Wait()
}

type connKey struct{}

// withConn lets a request's handler find the connection that it came on.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// ServeHTTP records a request and answers it as its host and endpoint do.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	at := clock.Now()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = slices.Grow((*buf)[:0], int(max(0, req.ContentLength)))[:max(0, req.ContentLength)]
	if _, err := io.ReadFull(req.Body, *buf); err != nil {
		return // the sender has hung up
	}
	if err := r.take(req, *buf, at); err != nil {
		r.ledger.reject(err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := req.Context().Value(connKey{}).(*conn)
	if !c.seen {
		c.seen = true
		r.connections.Add(1)
		if req.TLS != nil && req.TLS.DidResume {
			r.resumed.Add(1)
		}
	}
	b, own := c.host.behaviour(req.URL.Path)
	b = b.at(clock.Time(r.started.Load()), at)
	if own && b.Bad() {
		r.gauge.request(1)
		defer r.gauge.request(-1)
	}
	b.answer(r.ctx, w, req)
}

// take checks a request and records its message.
func (r *Receiver) take(req *http.Request, body []byte, at clock.Time) error {
	if req.Method != http.MethodPost || req.ContentLength <= 0 {
		return errors.New("not a POST with a length and a body: " + req.Method)
	}
	if err := r.verifier.Verify(req.Header, body); err != nil {
		return err
	}
	n, err := payload.Number(body)
	if err != nil {
		return err
	}
	r.ledger.record(n, at)
	return nil
}
