package receiver

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
)

// host is a Host that is served.
type host struct {
	Host
	index    int
	listener net.Listener
	gauge    *gauge
}

func newHost(index, block int, h Host, g *gauge) (*host, error) {
	// 250 a block of 127.x.y.0/24, from .1: all distinct, none that something else would listen on.
	address := fmt.Sprintf("127.%d.%d.%d:0", 10+block, index/250, 1+index%250)
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return nil, fmt.Errorf("receiver: host %d: %w", index, err)
	}
	if h.Behaviour.Bad() && h.Behaviour.After == 0 {
		g.turnBad(index)
	}
	return &host{Host: h, index: index, listener: l, gauge: g}, nil
}

// behaviour returns how the host behaves on a path, and whether it is an endpoint's own behaviour.
func (h *host) behaviour(path string) (b Behaviour, own bool) {
	if len(h.Endpoints) == 0 {
		return h.Behaviour, false
	}
	i, err := strconv.Atoi(strings.TrimPrefix(path, "/"))
	if err != nil || i < 0 || i >= len(h.Endpoints) {
		return h.Behaviour, false
	}
	return h.Endpoints[i], true
}

// urls are where the host is reached: one for each endpoint, or one.
func (h *host) urls(scheme string) []string {
	base := scheme + "://" + h.listener.Addr().String() + "/"
	if len(h.Endpoints) == 0 {
		return []string{base}
	}
	urls := make([]string, len(h.Endpoints))
	for i := range urls {
		urls[i] = base + strconv.Itoa(i)
	}
	return urls
}

// Accept, with Close and Addr, makes the host a net.Listener whose connections are counted.
func (h *host) Accept() (net.Conn, error) {
	c, err := h.listener.Accept()
	if err != nil {
		return nil, err
	}
	h.gauge.connection(h.index, 1)
	return &conn{Conn: c, host: h}, nil
}

func (h *host) Close() error   { return h.listener.Close() }
func (h *host) Addr() net.Addr { return h.listener.Addr() }

// conn is a connection to a host.
type conn struct {
	net.Conn
	host  *host
	close sync.Once
	seen  bool // a request has come; touched by the connection's goroutine only
}

func (c *conn) Close() error {
	c.close.Do(func() { c.host.gauge.connection(c.host.index, -1) })
	return c.Conn.Close()
}
