package receiver

import (
	"context"
	"io"
	"net/http"
	"time"
)

// answer answers a request. It returns early when ctx is done, or the sender hangs up.
func (b Behaviour) answer(ctx context.Context, w http.ResponseWriter, req *http.Request) {
	switch b.Kind {
	case OK:
		w.WriteHeader(http.StatusOK)
	case Status:
		w.WriteHeader(b.Status)
	case Slow:
		timer := time.NewTimer(b.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			w.WriteHeader(http.StatusOK)
		case <-req.Context().Done():
		case <-ctx.Done():
		}
	case Hang:
		select {
		case <-req.Context().Done():
		case <-ctx.Done():
		}
		panic(http.ErrAbortHandler) // closes the connection without an answer
	case Drip:
		drip(ctx, w)
	}
}

// drip sends the head of a response a byte a second.
func drip(ctx context.Context, w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err) // HTTP/1.1 connections can be hijacked once
	}
	defer c.Close()
	left := make(chan struct{})
	go func() {
		defer close(left)
		io.Copy(io.Discard, c) // until the sender hangs up, or c is closed
	}()
	defer func() { c.Close(); <-left }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: a very slow one, that nobody should wait for\r\n\r\n") {
		select {
		case <-tick.C:
		case <-left:
			return
		case <-ctx.Done():
			return
		}
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
	}
}
