package faults

import (
	"net/http"
	"time"
)

// reads reads a request before it goes on.
func reads(then script) script {
	return func(c *rawConn) {
		if c.read() {
			then(c)
		}
	}
}

// takes is reads for a receiver that takes the request for delivered.
func takes(then script) script {
	return reads(func(c *rawConn) {
		c.handle()
		then(c)
	})
}

// readsHeader reads a request without its body. It isn't entered into the ledger: it hasn't come as a whole.
func readsHeader(then script) script {
	return func(c *rawConn) {
		var err error
		if c.request, err = http.ReadRequest(c.in); err == nil {
			then(c)
		}
	}
}

// say answers with a text as it is, and leaves the connection open for the next request.
func say(text string) script {
	return func(c *rawConn) {
		c.write(text)
		c.keep()
	}
}

// sayAndHang waits for the other side to close the connection.
func sayAndHang(text string) script {
	return func(c *rawConn) {
		c.write(text)
		c.hang()
	}
}

// sayAndClose closes the connection: the system sends a FIN, or a RST if something wasn't read.
func sayAndClose(text string) script {
	return func(c *rawConn) { c.write(text) }
}

// sayAndReset closes the connection with a RST.
func sayAndReset(text string) script {
	return func(c *rawConn) {
		c.write(text)
		c.reset()
	}
}

// drips answers with a text, one byte at a time.
func drips(text string) script {
	return func(c *rawConn) {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for i := range len(text) {
			if !c.write(text[i : i+1]) {
				return
			}
			select {
			case <-ticker.C:
			case <-c.r.done:
				return
			}
		}
	}
}

// greets writes a text before a request is read, if one comes.
func greets(text string) script {
	return func(c *rawConn) {
		c.write(text)
		if c.read() {
			c.hang()
		}
	}
}

// echo answers with what it was asked for where a status line should be.
func echo(c *rawConn) {
	c.write(c.request.RequestURI + "," + token + "\r\n\r\n")
	c.hang()
}

// deaf neither reads nor writes.
func deaf(c *rawConn) { <-c.r.done }

// closeUnread closes a connection without reading the request.
func closeUnread(*rawConn) {}
