package signpost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"

	"github.com/signpost-go/signpost/internal/egress"
)

// What Send and Enqueue return.
var (
	// ErrInvalid is wrapped by every error about a message or an option that can't be used as it is. Trying
	// again without changing it is useless; the error says what is wrong, with what value, and what to do.
	ErrInvalid = errors.New("signpost: invalid")
	// ErrQueueFull means that there is no room for the message: the queue is full, or the message's host or
	// endpoint holds its share of it already. Nothing is queued; try again later, or see [WithBackpressure].
	ErrQueueFull = errors.New("signpost: queue is full")
	// ErrClosed means that the dispatcher was shut down before the message was accepted.
	ErrClosed = errors.New("signpost: dispatcher is shut down")
)

// The reasons of a dead message: [Outcome].Reason.
var (
	ErrExhausted = errors.New("signpost: attempts are used up")
	ErrExpired   = errors.New("signpost: message is older than MaxAge")
	ErrGone      = errors.New("signpost: endpoint is gone (410)")
	ErrRejected  = errors.New("signpost: attempt was judged Reject")
	ErrDisabled  = errors.New("signpost: endpoint is disabled")
	// ErrBlocked means that the URL's host has no address that may be dialled, see [WithAllowedNetworks].
	ErrBlocked = egress.ErrBlocked
)

// What [Lease].Settle returns when there is nothing left to settle. Neither is worth trying again.
var (
	ErrSettled   = errors.New("signpost: lease is settled already")
	ErrLeaseLost = errors.New("signpost: lease is lost, the message will come back")
)

// What a [Verifier] returns.
var (
	ErrSignature = errors.New("signpost: signature is missing or does not match")
	ErrTimestamp = errors.New("signpost: timestamp is missing, too old or in the future")
)

// UndeliveredError is what Shutdown and Close return when an in-memory queue still held messages. They were
// neither delivered nor reported dead, though the receiver may have seen them: an attempt that was cut off
// counts as not made.
type UndeliveredError struct {
	Messages []*Message // with their IDs and attempts so far, ready for another dispatcher's Enqueue
}

func (e *UndeliveredError) Error() string {
	return fmt.Sprintf("signpost: %d messages are undelivered; enqueue them again, or keep them", len(e.Messages))
}

// invalid returns an error that wraps ErrInvalid. A value in args is cut to a length that fits in a log line.
func invalid(format string, args ...any) error {
	for i, a := range args {
		if s, ok := a.(string); ok && len(s) > 200 {
			args[i] = s[:200] + "…"
		}
	}
	return fmt.Errorf("%w "+format, append([]any{ErrInvalid}, args...)...)
}

// sendError is why an attempt got no response.
type sendError struct {
	url  string // redacted
	text string // redacted
	err  error
}

func (e *sendError) Error() string { return "signpost: POST " + e.url + ": " + e.text }

func (e *sendError) Unwrap() error { return e.err }

// maxErrorText is how many bytes of an error are shown.
const maxErrorText = 500

// newSendError wraps err. The text of the result is redacted, though err's may come from a user's transport or
// function; what Unwrap gives is err as it was.
func newSendError(u *url.URL, err error) error {
	return &sendError{url: redactURL(u), text: shorten(redactText(err.Error(), u)), err: err}
}

// shorten cuts a text that the receiver may have written most of.
func shorten(text string) string {
	if len(text) > maxErrorText {
		return text[:maxErrorText] + "…"
	}
	return text
}

// localError marks what went wrong on this side before anything was sent: it says nothing of the receiver.
type localError struct {
	what string
	err  error
}

func (e *localError) Error() string { return e.what + ": " + e.err.Error() }

func (e *localError) Unwrap() error { return e.err }

// panicError is a panic in a user's function.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// isLocal reports whether err speaks of this machine or this program, not of the receiver: a user's function
// failed, file descriptors or ports are used up, there is no network.
func isLocal(err error) bool {
	var local *localError
	if errors.As(err, &local) {
		return true
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
			syscall.EADDRNOTAVAIL, syscall.ENETUNREACH, syscall.ENETDOWN:
			return true
		}
	}
	return false
}

// isTimeout reports whether the receiver, or the way to it, took too long.
func isTimeout(err error) bool {
	if isLocal(err) {
		return false
	}
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}
