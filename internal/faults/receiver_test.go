package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/stretchr/testify/require"
)

// A script is what a rawReceiver does with a connection or a request.
type script func(c *rawConn)

// A rawReceiver is a receiver that may break every rule of HTTP: a script has the bare connection.
type rawReceiver struct {
	URL string // http://127.0.0.1 and a port
	s   *scene

	mu       sync.Mutex
	scripts  []script
	accepted int // connections
	requests int // that have come as a whole
	conns    map[net.Conn]bool
	closed   bool
	done     chan struct{} // closed when the test ends
	wg       sync.WaitGroup
}

// rawConn is a connection that a script has.
type rawConn struct {
	net.Conn
	r       *rawReceiver
	in      *bufio.Reader
	request *http.Request // read by read; its body is used up
	kept    bool          // the connection goes on to the next script
}

// newRawReceiver starts a receiver whose connections and requests go to the scripts in turn: each new connection, and
// each time that a script has left its connection open with keep, is the next script's. Once they are used up every
// request is answered with 200.
func newRawReceiver(s *scene, scripts ...script) *rawReceiver {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	r := &rawReceiver{
		URL: "http://" + listener.Addr().String(), s: s, scripts: scripts, conns: make(map[net.Conn]bool), done: make(chan struct{}),
	}
	r.wg.Go(func() {
		for {
			c, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			r.serve(c)
		}
	})
	s.t.Cleanup(func() { // before the scene's: what hangs must not hold up Close
		listener.Close()
		close(r.done)
		r.mu.Lock()
		r.closed = true
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

func (r *rawReceiver) serve(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		c.Close()
		return
	}
	r.accepted++
	r.conns[c] = true
	r.wg.Go(func() {
		defer func() {
			c.Close()
			r.mu.Lock()
			delete(r.conns, c)
			r.mu.Unlock()
		}()
		rc := &rawConn{Conn: c, r: r, in: bufio.NewReader(c)}
		for {
			r.next()(rc)
			if !rc.kept {
				return
			}
			rc.kept = false
			if _, err := rc.in.Peek(1); err != nil { // no script is spent on a connection that isn't used again
				return
			}
		}
	})
}

func (r *rawReceiver) next() script {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.scripts) == 0 {
		return answerOK
	}
	next := r.scripts[0]
	r.scripts = r.scripts[1:]
	return next
}

// counts are how many connections were accepted, and how many requests have come as a whole.
func (r *rawReceiver) counts() (connections, requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted, r.requests
}

// read reads a request as a whole and enters it into the ledger. It reports whether there was one.
func (c *rawConn) read() bool {
	req, err := http.ReadRequest(c.in)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	c.request = req
	c.r.mu.Lock()
	c.r.requests++
	c.r.mu.Unlock()
	return c.r.s.ledger.Arrive(req.Header, body)
}

// handle enters that the receiver takes the request for delivered.
func (c *rawConn) handle() { c.r.s.ledger.Handle(c.request.Header.Get("Webhook-Id")) }

// write writes a text as it is. It reports whether the other side still takes it.
func (c *rawConn) write(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// keep leaves the connection open for the next script.
func (c *rawConn) keep() { c.kept = true }

// hang does nothing until the other side closes the connection or the test ends.
func (c *rawConn) hang() { io.Copy(io.Discard, c.in) }

// reset closes the connection with a RST instead of a FIN.
func (c *rawConn) reset() {
	c.Conn.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// answerOK answers a request with 200, as a healthy receiver does.
func answerOK(c *rawConn) {
	if c.read() {
		c.handle()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		c.keep()
	}
}

// raw answers a request with a text as it is, and leaves the connection open.
func raw(text string) script {
	return func(c *rawConn) {
		if c.read() {
			c.write(text)
			c.keep()
		}
	}
}

func repeat(n int, s script) []script {
	all := make([]script, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// statusLine is a status line with a code of any number.
func statusLine(code int) string { return fmt.Sprintf("HTTP/1.1 %03d Status\r\n", code) }
