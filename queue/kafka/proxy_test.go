package kafka

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A proxy stands between clients and a server, and may keep the server's answers to itself.
type proxy struct {
	listener net.Listener
	target   string
	mute     atomic.Bool
	dropped  atomic.Int64 // bytes of answers

	mu    sync.Mutex // protects conns
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// serve lets clients through to target.
func (p *proxy) serve(target string) {
	p.target = target
	p.wg.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", p.target)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns[client], p.conns[server] = true, true
			p.mu.Unlock()
			p.wg.Go(func() { p.pass(server, client, func(int) bool { return true }) })
			p.wg.Go(func() {
				p.pass(client, server, func(n int) bool {
					if p.mute.Load() {
						p.dropped.Add(int64(n))
						return false
					}
					return true
				})
			})
		}
	})
}

// pass copies what from says to to, unless may refuses it, and closes both in the end.
func (p *proxy) pass(to, from net.Conn, may func(n int) bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && may(n) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}
