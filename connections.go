package signpost

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// openConnections keeps the connections to each address within bounds. Over HTTP/1.1 net/http opens no more than there are
// attempts in flight, but over HTTP/2 it leaves the number to the receiver: one that allows no second request on a
// connection, and doesn't close it, would be left with an idle connection for each message.
type openConnections struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	most func() int // to one address

	mu   sync.Mutex // protects the following field
	open map[string]int
}

// connectionsPerAttempt is how many connections to an address may be open for each attempt that may be in flight. Several
// are needed: where few requests fit on a connection, net/http may open one while another becomes free.
const connectionsPerAttempt = 4

// mostConnections is how many connections to one address may be open.
func (s *Sender) mostConnections() int {
	attempts := s.config.hostConcurrency
	if s.alone {
		attempts = max(attempts, int(s.calls.Load()))
	}
	return connectionsPerAttempt * attempts
}

// DialContext calls dial unless too many connections to the address are open.
func (o *openConnections) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	most := o.most()
	o.mu.Lock()
	if o.open[address] >= most {
		o.mu.Unlock()
		return nil, fmt.Errorf("%d connections to %s are open already, and take no more requests", most, address)
	}
	o.open[address]++
	o.mu.Unlock()
	conn, err := o.dial(ctx, network, address)
	if err != nil {
		o.closed(address)
		return nil, err
	}
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { o.closed(address) })}, nil
}

func (o *openConnections) closed(address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[address]--; o.open[address] == 0 {
		delete(o.open, address)
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
