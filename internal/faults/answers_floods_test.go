package faults

import (
	"bytes"
	"compress/gzip"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// floods answers with a text that is repeated without end, until the other side closes the connection. What it can send
// must be no more than what signpost reads and the sockets hold.
func floods(head, more string) script {
	return func(c *rawConn) {
		c.Conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
		more := strings.Repeat(more, 1+(32<<10)/len(more))
		sent := len(head)
		for ok := c.write(head); ok && sent < 2*mostFlooded; ok = c.write(more) {
			sent += len(more)
		}
		assert.Less(c.r.s.t, sent, mostFlooded, "bytes that were taken")
	}
}

// mostFlooded is 64 KiB, the receiver's buffer, the sender's, which don't grow when nobody reads, and as much again.
const mostFlooded = 2 << 20

// gzipBomb is a receiver that answers with 64 MiB of zeros, compressed, whether it says so or not.
func gzipBomb(t *testing.T) {
	s := newScene(t)
	answer := func(header string) script {
		return takes(func(c *rawConn) {
			assert.Empty(t, c.request.Header["Accept-Encoding"])
			c.write(statusLine(200) + header + "\r\n")
			c.Write(bomb())
		})
	}
	r := newRawReceiver(s, answer(""), answer("Content-Encoding: gzip\r\n"))
	for range 2 {
		os := s.ends(s.send(hook(r)))
		require.Equal(t, []signpost.State{signpost.Delivered}, states(os))
		assert.Equal(t, 200, os[0].Attempt.StatusCode)
		assert.NoError(t, os[0].Attempt.Err)
		assert.True(t, bytes.Equal(bomb()[:16<<10], os[0].Attempt.Body))
	}
}

// bomb is a MiB of zeros many times over: what follows a gzip stream goes on with it (RFC 1952, section 2.2).
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(make([]byte, 1<<20))
	w.Close()
	return bytes.Repeat(b.Bytes(), 64)
})

// unsolicited answers with 202, and with something more once the connection is idle.
func unsolicited(more string) script {
	return func(c *rawConn) {
		c.write(statusLine(202) + noBody)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for c.r.s.ledger.Last(c.request.Header.Get("Webhook-Id")).State == 0 {
			select {
			case <-ticker.C:
			case <-c.r.done:
				return
			}
		}
		c.write(more)
		c.hang()
	}
}
