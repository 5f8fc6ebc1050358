package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A kind is what a receiver is like for a while.
type kind struct {
	name    string
	healthy bool // it is in order
	handles bool // it takes what arrives for delivered, whether its answer arrives or not
	raw     bool // it breaks the rules of HTTP/1, so hosts that speak HTTP/2 aren't of this kind
	tls     bool // only hosts that speak TLS are
	refuses bool // nobody listens
	early   bool // it doesn't wait for the whole request

	connect func(c net.Conn)                                      // has every new connection for itself
	answer  func(h *host, w http.ResponseWriter, r *http.Request) // answers a request
}

// Two kinds that the rest of the program knows by their index.
const (
	fine    = 0 // answers at once
	slow    = 1
	firstIl = 2 // from here on they aren't healthy
)

// patience is how long a receiver holds a connection that nobody closes. It is longer than an attempt may take.
const patience = 20 * time.Second

var kinds = []kind{
	fine: {name: "answers at once", healthy: true, handles: true, answer: status(200)},
	slow: {name: "answers after some 100 ms", healthy: true, handles: true, answer: after(status(200))},

	{name: "500", answer: status(500)},
	{name: "503 with Retry-After", answer: retryAfter(503)},
	{name: "429 with Retry-After", answer: retryAfter(429)},
	{name: "404", answer: status(404)},
	{name: "410", answer: status(410)},
	{name: "redirects to loopback", answer: redirect},
	{name: "hangs", answer: hang},
	{name: "drips a body", handles: true, answer: dripBody},
	{name: "sends a body without end", handles: true, answer: endlessBody},
	{name: "loses its answers", handles: true, answer: loseAnswer},
	{name: "cuts all connections while it answers", handles: true, answer: cutAll},
	{name: "sends 10 MiB of headers", handles: true, answer: largeHeader},
	{name: "floods with 1xx", answer: flood},

	{name: "drips a header", raw: true, answer: script(dripHeader)},
	{name: "closes before the status line", raw: true, answer: script(say(""))},
	{name: "closes in the status line", raw: true, answer: script(say("HTTP/1.1 2"))},
	{name: "closes after the status line", raw: true, answer: script(say("HTTP/1.1 200 OK\r\n"))},
	{name: "resets instead of an answer", raw: true, answer: script(func(c net.Conn, _ *bufio.Reader) { reset(c) })},
	{name: "resets after a 2xx", raw: true, handles: true, answer: script(func(c net.Conn, _ *bufio.Reader) {
		io.WriteString(c, ok)
		reset(c)
	})},
	{name: "sends more than Content-Length", raw: true, handles: true, answer: script(func(c net.Conn, in *bufio.Reader) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and much more than that")
		io.Copy(io.Discard, in)
	})},
	{name: "sends less than Content-Length", raw: true, handles: true,
		answer: script(say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"))},
	{name: "sends garbage", raw: true, answer: script(garbage)},
	{name: "closes kept connections on the next request", raw: true, handles: true, answer: script(func(c net.Conn, in *bufio.Reader) {
		io.WriteString(c, ok)
		in.Peek(1)
	})},
	{name: "answers 413 before it has read, and closes", raw: true, early: true,
		answer: script(say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"))},

	{name: "never reads", connect: func(net.Conn) { time.Sleep(patience) }, answer: hang},
	{name: "resets every connection", connect: reset, answer: hang},
	{name: "refuses connections", refuses: true, answer: hang},
	{name: "has an expired certificate", tls: true, handles: true, answer: status(200)},
}

// perRequest reports whether one endpoint can be of a kind and the next one of the same host of another.
func (k kind) perRequest() bool { return k.connect == nil && !k.refuses && !k.tls }

// draw returns a kind for a host, or one that isn't healthy for an endpoint of its own.
func draw(r *rand.Rand, h *host) int {
	const healthy, slowOnes = 0.7, 0.15
	if r.Float64() >= healthy {
		return drawIll(r, h, false)
	}
	if r.Float64() < slowOnes {
		return slow
	}
	return fine
}

func drawIll(r *rand.Rand, h *host, endpoint bool) int {
	for {
		i := firstIl + r.IntN(len(kinds)-firstIl)
		k := kinds[i]
		if k.raw && h.http2 || k.tls && !h.tls || endpoint && !k.perRequest() {
			continue
		}
		return i
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

type answer = func(h *host, w http.ResponseWriter, r *http.Request)

func status(code int) answer {
	return func(_ *host, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func after(next answer) answer {
	return func(h *host, w http.ResponseWriter, r *http.Request) {
		time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond))
		next(h, w, r)
	}
}

func retryAfter(code int) answer {
	return func(_ *host, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strconv.Itoa(1+rand.IntN(3)))
		w.WriteHeader(code)
	}
}

// redirect points at the same host, with the status that keeps method and body: who followed it would be found out,
// because more requests than attempts would arrive.
func redirect(_ *host, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", ourPath+"elsewhere")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func hang(_ *host, _ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(patience):
	}
}

func dripBody(_ *host, w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	for begin := time.Now(); time.Since(begin) < patience && r.Context().Err() == nil; time.Sleep(100 * time.Millisecond) {
		io.WriteString(w, ".")
		out.Flush()
	}
}

func endlessBody(_ *host, w http.ResponseWriter, _ *http.Request) {
	chunk := make([]byte, 32<<10)
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func loseAnswer(*host, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func cutAll(h *host, _ http.ResponseWriter, _ *http.Request) {
	h.cut()
	panic(http.ErrAbortHandler)
}

var large = strings.Repeat("x", 64<<10)

func largeHeader(_ *host, w http.ResponseWriter, _ *http.Request) {
	for i := range 160 {
		w.Header().Set(fmt.Sprintf("X-Large-%d", i), large)
	}
}

func flood(_ *host, w http.ResponseWriter, r *http.Request) {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience))
	w.Header().Set("Link", "</style.css>; rel=preload")
	for range 100_000 {
		if r.Context().Err() != nil {
			return
		}
		w.WriteHeader(http.StatusEarlyHints)
	}
	w.WriteHeader(http.StatusInternalServerError)
}

// script takes the connection from the server, has f do with it what it likes, and closes it.
func script(f func(c net.Conn, in *bufio.Reader)) answer {
	return func(_ *host, w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		f(c, rw.Reader)
	}
}

func say(text string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) { io.WriteString(c, text) }
}

func dripHeader(c net.Conn, _ *bufio.Reader) {
	for i := range len(ok) {
		if _, err := io.WriteString(c, ok[i:i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func garbage(c net.Conn, _ *bufio.Reader) {
	b := make([]byte, 1+rand.IntN(4096))
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	c.Write(b)
}
