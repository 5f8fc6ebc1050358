package faults

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/stretchr/testify/require"
)

// An h2Script is what an h2Receiver does with a connection. It is closed afterwards.
type h2Script func(c *h2Conn)

// An h2Receiver is a receiver that speaks HTTP/2 over TLS. Its first connections are the scripts', which have the bare
// frames; all later ones go to a healthy server, which enters what arrives into the ledger.
type h2Receiver struct {
	URL string // https://127.0.0.1 and a port
	s   *scene

	mu       sync.Mutex
	scripts  []h2Script
	accepted int // connections
	posts    int // requests whose HEADERS have come
	conns    map[net.Conn]bool
	closed   bool
	healthy  *connListener
	wg       sync.WaitGroup
}

func newH2Receiver(s *scene, scripts ...h2Script) *h2Receiver {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	r := &h2Receiver{
		URL: "https://" + listener.Addr().String(), s: s, scripts: scripts, conns: make(map[net.Conn]bool),
		healthy: newConnListener(listener.Addr()),
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			r.countPost()
			s.ledger.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, req)
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	r.wg.Go(func() { server.Serve(r.healthy) })
	r.wg.Go(func() {
		for {
			c, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				r.serve(c)
			}
		}
	})
	s.t.Cleanup(func() {
		listener.Close()
		r.mu.Lock()
		r.closed = true
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		server.Close()
		r.wg.Wait()
	})
	return r
}

func (r *h2Receiver) serve(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return
	}
	r.accepted++
	t := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{goodCertificate()}, NextProtos: []string{"h2"}})
	if len(r.scripts) == 0 {
		r.wg.Go(func() { r.healthy.hand(t) })
		return
	}
	next := r.scripts[0]
	r.scripts = r.scripts[1:]
	r.conns[c] = true
	r.wg.Go(func() {
		defer func() {
			c.Close()
			r.mu.Lock()
			delete(r.conns, c)
			r.mu.Unlock()
		}()
		hc := &h2Conn{Conn: t, r: r, in: bufio.NewReader(t)}
		preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		if _, err := io.ReadFull(hc.in, preface); err == nil {
			next(hc)
		}
	})
}

func (r *h2Receiver) countPost() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.posts++
}

// counts are how many connections were accepted, and how many requests have begun to arrive on them.
func (r *h2Receiver) counts() (connections, posts int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted, r.posts
}

// A connListener is a net.Listener of connections that were accepted elsewhere.
type connListener struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newConnListener(addr net.Addr) *connListener {
	return &connListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *connListener) hand(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

func (l *connListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *connListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *connListener) Addr() net.Addr { return l.addr }

// Frames of HTTP/2: RFC 9113, section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePushPromise  = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameContinuation = 0x9

	flagAck        = 0x1 // of SETTINGS and PING
	flagEndStream  = 0x1 // of HEADERS and DATA
	flagEndHeaders = 0x4 // of HEADERS and CONTINUATION

	maxConcurrentStreams = 0x3 // settings
	initialWindowSize    = 0x4

	noError         = 0x0 // error codes: section 7
	protocolError   = 0x1
	internalError   = 0x2
	refusedStream   = 0x7
	cancelled       = 0x8
	enhanceYourCalm = 0xb
)

// Header blocks: indices of the static table of HPACK (RFC 7541, appendix A), and a literal with an indexed name.
const (
	status200 = "\x88"
	status500 = "\x8e"
	status103 = "\x08\x03103"
)

// An h2Conn is a connection that an h2Script has. The client's preface has been read.
type h2Conn struct {
	net.Conn
	r    *h2Receiver
	in   *bufio.Reader
	mute bool // read acknowledges nothing
}

type h2Frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// write writes a frame. It reports whether the other side still takes it.
func (c *h2Conn) write(kind, flags byte, stream uint32, payload string) bool {
	_, err := c.Write(frame(len(payload), kind, flags, stream, payload))
	return err == nil
}

// frame is a frame as it is on the wire, whose length may be a lie.
func frame(length int, kind, flags byte, stream uint32, payload string) []byte {
	b := []byte{byte(length >> 16), byte(length >> 8), byte(length), kind, flags}
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// settings writes a SETTINGS frame with pairs of a setting and its value.
func (c *h2Conn) settings(pairs ...uint32) bool {
	var payload []byte
	for i := 0; i < len(pairs); i += 2 {
		payload = binary.BigEndian.AppendUint16(payload, uint16(pairs[i]))
		payload = binary.BigEndian.AppendUint32(payload, pairs[i+1])
	}
	return c.write(frameSettings, 0, 0, string(payload))
}

// headers writes a header block, in as many frames as it takes, that is all of a response.
func (c *h2Conn) headers(stream uint32, block string) bool {
	const largest = 16 << 10
	kind, flags := byte(frameHeaders), byte(flagEndStream)
	for ; len(block) > largest; block = block[largest:] {
		if !c.write(kind, flags, stream, block[:largest]) {
			return false
		}
		kind, flags = frameContinuation, 0
	}
	return c.write(kind, flags|flagEndHeaders, stream, block)
}

// goAway writes that streams after last are not processed.
func (c *h2Conn) goAway(last, code uint32) bool {
	return c.write(frameGoAway, 0, 0, uint32s(last, code))
}

func (c *h2Conn) reset(stream, code uint32) bool {
	return c.write(frameReset, 0, stream, uint32s(code))
}

func uint32s(values ...uint32) string {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return string(b)
}

// read reads a frame, acknowledges it if that is due, and counts it if it begins a request.
func (c *h2Conn) read() (f h2Frame, ok bool) {
	var head [9]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return f, false
	}
	f = h2Frame{kind: head[3], flags: head[4], stream: binary.BigEndian.Uint32(head[5:])}
	f.payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(c.in, f.payload); err != nil {
		return f, false
	}
	switch {
	case f.kind == frameHeaders:
		c.r.countPost()
	case c.mute:
	case f.kind == frameSettings && f.flags&flagAck == 0:
		c.write(frameSettings, flagAck, 0, "")
	case f.kind == framePing && f.flags&flagAck == 0:
		c.write(framePing, flagAck, 0, string(f.payload))
	}
	return f, true
}

// await reads until a frame has come of which is holds. It reports whether there was one.
func (c *h2Conn) await(is func(h2Frame) bool) (f h2Frame, ok bool) {
	for {
		if f, ok = c.read(); !ok || is(f) {
			return f, ok
		}
	}
}

// request reads a request as a whole and returns its stream.
func (c *h2Conn) request() (stream uint32, ok bool) {
	f, ok := c.await(func(f h2Frame) bool {
		return (f.kind == frameHeaders || f.kind == frameData) && f.flags&flagEndStream != 0
	})
	return f.stream, ok
}

// hang reads until the other side closes the connection or the test ends.
func (c *h2Conn) hang() { c.await(func(h2Frame) bool { return false }) }

// end sends no more, and reads what still comes.
func (c *h2Conn) end() {
	c.Conn.(*tls.Conn).CloseWrite()
	c.hang()
}
