package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost"
)

// A host is a receiver with a port of its own.
type host struct {
	tls, http2 bool
	address    string
	endpoints  []*endpoint
	server     *http.Server
	tell       func(line)
	verifier   *signpost.Verifier

	kind     atomic.Int32
	listener net.Listener // nil: nobody listens. Only the weather's goroutine touches it

	mu    sync.Mutex // protects the following field
	conns map[net.Conn]bool
}

// An endpoint is a path of a host.
type endpoint struct {
	place int // its number among all
	url   string
	ill   atomic.Int32 // the kind of its own, if it isn't 0: then the host's doesn't count
}

// ourPath is what the paths of this process's endpoints begin with; their indices follow. Another soak on this machine may
// take the port of a host that refuses connections for a while: then it gets requests that aren't its own.
var ourPath = fmt.Sprintf("/%d-%d/", os.Getpid(), time.Now().UnixNano())

// newHost starts a host of the kind fine.
func newHost(certs *certificates, speaks protocol, endpoints []*endpoint, v *signpost.Verifier, tell func(line)) (*host, error) {
	h := &host{
		tls: speaks != plain, http2: speaks == http2, endpoints: endpoints, tell: tell, verifier: v, conns: make(map[net.Conn]bool),
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h.http2)
	protocols.SetHTTP2(h.http2)
	h.server = &http.Server{Handler: h, ConnState: h.track, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	scheme := "http://"
	if h.tls {
		scheme = "https://"
		h.server.TLSConfig = certs.config(func() bool { return kinds[h.kind.Load()].tls })
	}
	if err := h.listenSomewhere(); err != nil {
		return nil, err
	}
	h.address = h.listener.Addr().String()
	for i, e := range endpoints {
		e.url = scheme + h.address + ourPath + strconv.Itoa(i)
	}
	return h, nil
}

// A protocol is what a host speaks.
type protocol int

const (
	plain protocol = iota
	overTLS
	http2
)

// listenSomewhere listens at a port that no system gives to outgoing connections, or to who asks for any port: it must be
// free again when the host has refused connections for a while.
func (h *host) listenSomewhere() (err error) {
	for range 1000 {
		if err = h.listen("127.0.0.1:" + strconv.Itoa(10_000+rand.IntN(22_000))); err == nil {
			return nil
		}
	}
	return err
}

func (h *host) listen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	h.listener = l
	go func() {
		if h.tls {
			h.server.ServeTLS(&listener{l, h}, "", "")
		} else {
			h.server.Serve(&listener{l, h})
		}
	}()
	return nil
}

// A listener gives connections to the host's kind if that wants them for itself.
type listener struct {
	net.Listener
	host *host
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		connect := kinds[l.host.kind.Load()].connect
		if connect == nil {
			return c, nil
		}
		go func() {
			defer c.Close()
			connect(c)
		}()
	}
}

// track keeps the connections that the server has.
func (h *host) track(c net.Conn, s http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s {
	case http.StateNew:
		h.conns[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(h.conns, c)
	}
}

// cut closes all connections, whatever goes on there.
func (h *host) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn() // which doesn't wait to say goodbye
		}
		c.Close()
	}
}

// reset closes a connection with a RST instead of a FIN.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	c.Close()
}

// become makes the host one of another kind. That isn't possible while it must listen again and its port is in use.
func (h *host) become(to int, ills map[int]int) bool {
	k := kinds[to]
	if k.refuses && h.listener != nil {
		h.listener.Close()
		h.listener = nil
	}
	if !k.refuses && h.listener == nil && h.listen(h.address) != nil {
		return false
	}
	h.kind.Store(int32(to))
	if !k.perRequest() {
		h.cut()
	}
	for i, e := range h.endpoints {
		e.ill.Store(int32(ills[i]))
	}
	return true
}

// announce tells what the host has become.
func (h *host) announce() {
	for _, e := range h.endpoints {
		h.tell(line{place: e.place, kind: h.kindOf(e)})
	}
}

func (h *host) kindOf(e *endpoint) int {
	k := int(h.kind.Load())
	if ill := int(e.ill.Load()); ill != 0 && kinds[k].perRequest() {
		return ill
	}
	return k
}

// ServeHTTP answers a request as the endpoint's kind does, and tells what has arrived.
func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	index, ours := strings.CutPrefix(r.URL.Path, ourPath)
	if !ours {
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(h.endpoints) { // somebody has followed a redirect
		i = 0
	}
	e := h.endpoints[i]
	k := h.kindOf(e)
	if kinds[k].early {
		kinds[k].answer(h, w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it broke off: nothing has arrived
	}
	err = h.verifier.Verify(r.Header, body)
	if err != nil {
		fmt.Fprintf(os.Stderr, "soak: a request to %s, %d bytes, %v: %v\n", r.URL, len(body), r.Header, err)
	}
	h.tell(line{
		id: r.Header.Get("Webhook-Id"), place: e.place, kind: k, verified: err == nil,
		sent: sentAt(body), at: time.Now().UnixNano(),
	})
	kinds[k].answer(h, w, r)
}
