package faults

import (
	"context"
	"io"
	"strings"
	"syscall"
)

// connections are faults of sockets, and of a receiver's HTTP.
var connections = []fault{
	{"headers that drip", "Gives up when the attempt's time is over, and retries with backoff. It counts against the host as well.",
		timedOut(reads(drips(statusLine(200)+strings.Repeat("X-Header: x\r\n", 1000))), failure{is: context.DeadlineExceeded, host: true})},
	{"2xx and a body that drips", "The message is delivered. The body is read until the attempt's time is over, then the connection is closed.",
		drippingBody(200)},
	{"500 and a body that drips", "Retries with backoff once the attempt's time is over. The status counts against the endpoint, not the host.",
		drippingBody(500)},
	{"no answer at all", "Gives up when the attempt's time is over, and retries with backoff. It counts against the host as well.",
		timedOut(reads(sayAndHang("")), failure{is: context.DeadlineExceeded, host: true})},
	{"connections that are opened and not read", "Gives up when the attempt's time is over, and retries with backoff. It counts against the host as well.",
		timedOut(deaf, failure{is: context.DeadlineExceeded, host: true, deaf: true})},
	{"connections that are never accepted", "The kernel opens them. Gives up when the attempt's time is over, and retries with backoff.", neverAccepted},

	{"closed before the request is read", cutText, retried(closeUnread, failure{host: true})},
	{"closed before the status line", cutText, retried(reads(sayAndClose("")), failure{is: io.EOF, host: true})},
	{"closed in the status line", cutText, retried(reads(sayAndClose("HTTP/1.1 2")), failure{host: true})},
	{"closed after the status line", cutText, retried(reads(sayAndClose(statusLine(200))), failure{is: io.ErrUnexpectedEOF, host: true})},
	{"closed in the headers", cutText, retried(reads(sayAndClose(statusLine(200)+"Content-Type: text/pl")), failure{is: io.ErrUnexpectedEOF, host: true})},
	{"reset before the request is read", cutText, retried((*rawConn).reset, failure{host: true})},
	{"reset before the status line", cutText, retried(reads(sayAndReset("")), failure{is: syscall.ECONNRESET, host: true})},
	{"reset in the status line", cutText, retried(reads(sayAndReset("HTTP/1.1 2")), failure{host: true})},
	{"reset after the status line", cutText, retried(reads(sayAndReset(statusLine(200))), failure{host: true})},
	{"reset in the headers", cutText, retried(reads(sayAndReset(statusLine(200)+"Content-Type: text/pl")), failure{host: true})},
	{"2xx and closed in the body", "The message is delivered: the status counts.",
		accepted(takes(sayAndClose(statusLine(200)+"Content-Length: 100\r\n\r\nhalf")), 200, true)},
	{"2xx and reset in the body", "The message is delivered: the status counts.",
		accepted(takes(sayAndReset(statusLine(200)+"Content-Length: 100\r\n\r\nhalf")), 200, true)},
	{"2xx and reset", "The message is delivered, and the next one goes over another connection. If it was on its way already it is retried.", resetAfterwards},
	{"500 and closed in the body", "Retries with backoff: the status counts, against the endpoint only.",
		retried(reads(sayAndClose(statusLine(500)+"Content-Length: 100\r\n\r\nhalf")), failure{status: 500})},
	{"500 and reset in the body", "Retries with backoff: the status counts, against the endpoint only.",
		retried(reads(sayAndReset(statusLine(500)+"Content-Length: 100\r\n\r\nhalf")), failure{status: 500})},
	{"the answer is lost", "Retries: the receiver gets the message twice, with the same webhook-id, and signed anew.", answerLost},

	{"413 while the body is being sent", "The status counts. The connection is closed, and the message retried with backoff.", answerWhileSending(413)},
	{"413 while the body is being sent, and a reset", "The status counts, if the reset doesn't outrun it. Retries with backoff.", resetWhileSending},
	{"200 while the body is being sent", "The message is delivered: the receiver says that it needs no more. The connection is closed.", answerWhileSending(200)},
	{"a receiver that never reads the body", "Gives up when the attempt's time is over, and retries with backoff. It counts against the host as well.", neverReads},

	{"keep-alive closed as the next request has been read", keepAliveText, closedAsTheNextComes(reads(sayAndClose("")), 1)},
	{"keep-alive reset as the next request has been read", keepAliveText, closedAsTheNextComes(reads((*rawConn).reset), 1)},
	{"keep-alive closed as the next request's headers have been read", keepAliveText, closedAsTheNextComes(readsHeader((*rawConn).reset), 0)},
	{"keep-alive closed before the next request is read", keepAliveText, closedAsTheNextComes(closeUnread, 0)},
	{"keep-alive closed without a word", "The next message goes over another connection. If it was on its way already it is retried: one counted attempt.", closedWhileIdle},
	{"a host that fails every other request", "Every message is delivered. A failure that doesn't repeat itself pauses nobody.", flapsByRequest},
	{"a host that fails for a while, again and again", "Every message is delivered. After 5 failures in a row the host is asked by one probe at a time.", flapsByBatches},

	{"an SSH banner", notHTTPText, retried(reads(sayAndHang("SSH-2.0-OpenSSH_9.9\r\n")), failure{host: true})},
	{"an SSH banner before the request", notHTTPText, retried(greets("SSH-2.0-OpenSSH_9.9\r\n"), failure{host: true})},
	{"a TLS alert", notHTTPText, retried(reads(sayAndClose("\x15\x03\x01\x00\x02\x02\x28")), failure{host: true})},
	{"a MiB of zeros", notHTTPText, retried(reads(floods("", strings.Repeat("\x00", 1024))), failure{host: true})},
	{"an answer as of HTTP/0.9", notHTTPText, retried(reads(sayAndClose("<html>welcome</html>\r\n")), failure{host: true})},
	{"an answer that repeats the URL", "Retries with backoff. The query is kept out of errors.", retried(reads(echo), failure{host: true})},
	{"an answer of HTTP/1.0", "The status counts. The connection isn't used again.",
		accepted(takes(sayAndHang("HTTP/1.0 200 OK\r\n"+noBody)), 200, true)},
	{"an answer of HTTP/1.0 that ends with the connection", "The status counts.",
		accepted(takes(sayAndClose("HTTP/1.0 200 OK\r\n\r\nwelcome")), 200, true)},
	{"a status code of four digits", notHTTPText, retried(reads(sayAndHang("HTTP/1.1 2000 OK\r\n"+noBody)), failure{host: true})},
	{"a status code that is no number", notHTTPText, retried(reads(sayAndHang("HTTP/1.1 2OO OK\r\n"+noBody)), failure{host: true})},
	{"a status code of 60,000 letters", notHTTPText, retried(reads(sayAndHang("HTTP/1.1 "+strings.Repeat("x", 60_000)+"\r\n"+noBody)), failure{host: true})},
	{"2xx and a bad chunk size", "The message is delivered: the status counts. The connection isn't used again.",
		accepted(takes(sayAndHang(statusLine(200)+"Transfer-Encoding: chunked\r\n\r\nzz\r\n")), 200, true)},
	{"2xx and a negative chunk size", "The message is delivered: the status counts. The connection isn't used again.",
		accepted(takes(sayAndHang(statusLine(200)+"Transfer-Encoding: chunked\r\n\r\n-1\r\n")), 200, true)},
	{"500 and a bad chunk size", "Retries with backoff: the status counts, against the endpoint only.",
		retried(reads(sayAndHang(statusLine(500)+"Transfer-Encoding: chunked\r\n\r\nzz\r\n")), failure{status: 500})},
	{"Content-Length beside Transfer-Encoding", "Goes by Transfer-Encoding, as RFC 9112 says. The status counts.",
		accepted(takes(say(statusLine(200)+"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")), 200, false)},
	{"an unknown Transfer-Encoding", notHTTPText,
		retried(reads(sayAndHang(statusLine(200)+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")), failure{host: true})},
	{"two Content-Lengths that differ", notHTTPText,
		retried(reads(sayAndHang(statusLine(200)+"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok")), failure{host: true})},
	{"a Content-Length that is no number", notHTTPText,
		retried(reads(sayAndHang(statusLine(200)+"Content-Length: -2\r\n\r\nok")), failure{host: true})},
	{"a header without a colon", notHTTPText, retried(reads(sayAndHang(statusLine(200)+"nonsense\r\n\r\n")), failure{host: true})},
}

// What signpost does about several faults.
const (
	cutText       = "Retries with backoff. It counts against the host as well."
	notHTTPText   = "Treats it as no answer, closes the connection, and retries with backoff. It counts against the host as well."
	keepAliveText = "Retries with backoff: one counted attempt. Nothing is sent again below signpost, with an Idempotency-Key neither."
)
