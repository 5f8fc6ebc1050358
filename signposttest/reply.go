package signposttest

import (
	"cmp"
	"fmt"
	"net/http"
	"time"
)

// A Reply is what a [Receiver] does with one request. The zero Reply is 200 without a body.
//
// A request's body is always read to its end first, so that a Reply finds the sender waiting for an answer.
type Reply struct {
	Status int         // 200 to 999; 0: 200
	Header http.Header // sent as well, Retry-After say
	Body   string

	// Drip sends status and headers at once and then the body a byte at a time, with this pause before each.
	// If Body is empty, spaces come without end: until the sender gives up or the test ends.
	Drip time.Duration

	Hang bool // never answer: hold the request until the sender gives up or the test ends. It excludes all else
	Cut  bool // close the connection without an answer. It excludes all else
}

// problem says what makes no sense in r, and is empty if all does.
func (r Reply) problem() string {
	silent := ""
	switch {
	case r.Hang && r.Cut:
		return "Hang and Cut exclude each other: the connection stays open or it doesn't; give two replies"
	case r.Hang:
		silent = "Hang"
	case r.Cut:
		silent = "Cut"
	}
	for _, x := range [...]struct {
		name  string
		given bool
	}{
		{fmt.Sprintf("Status %d", r.Status), r.Status != 0}, {"a Header", len(r.Header) > 0},
		{"a Body", r.Body != ""}, {fmt.Sprintf("Drip %v", r.Drip), r.Drip != 0},
	} {
		if silent != "" && x.given {
			return fmt.Sprintf("%s and %s exclude each other: %s means that there is no answer; leave one out", silent, x.name, silent)
		}
	}
	switch {
	case r.Status != 0 && (r.Status < 200 || r.Status > 999):
		return fmt.Sprintf("Status %d: give 200 to 999, or 0 for 200", r.Status)
	case r.Drip < 0:
		return fmt.Sprintf("Drip %v: give a positive pause, or 0 to send the body at once", r.Drip)
	case (r.Status == http.StatusNoContent || r.Status == http.StatusNotModified) && (r.Body != "" || r.Drip != 0):
		return fmt.Sprintf("Status %d with a body: HTTP allows none with it; leave Body and Drip out, or give another status", r.Status)
	}
	return ""
}

// describe says what the request gets, for a test's messages.
func (r Reply) describe() string {
	switch {
	case r.Hang:
		return "left hanging"
	case r.Cut:
		return "cut"
	case r.Drip != 0:
		return fmt.Sprintf("answered %d, dripping", r.status())
	}
	return fmt.Sprintf("answered %d", r.status())
}

func (r Reply) status() int { return cmp.Or(r.Status, http.StatusOK) }

// send answers req, whose body has been read. done ends what would otherwise last as long as the sender likes.
func (r Reply) send(w http.ResponseWriter, req *http.Request, done <-chan struct{}) {
	switch {
	case r.Cut:
		panic(http.ErrAbortHandler) // net/http's way to close the connection
	case r.Hang:
		select {
		case <-req.Context().Done():
		case <-done:
		}
		panic(http.ErrAbortHandler)
	}
	for key, values := range r.Header {
		for _, v := range values {
			w.Header().Add(key, v)
		}
	}
	w.WriteHeader(r.status())
	if r.Drip == 0 {
		fmt.Fprint(w, r.Body) // an error means that the sender is gone
		return
	}
	r.drip(w, req, done)
}

func (r Reply) drip(w http.ResponseWriter, req *http.Request, done <-chan struct{}) {
	body := []byte(r.Body)
	if len(body) == 0 {
		body = []byte{' '}
	}
	control := http.NewResponseController(w)
	pause := time.NewTimer(r.Drip)
	defer pause.Stop()
	for i := 0; i < len(body) || r.Body == ""; i++ {
		if control.Flush() != nil { // the first time: status and headers
			panic(http.ErrAbortHandler)
		}
		select {
		case <-pause.C:
			pause.Reset(r.Drip)
		case <-req.Context().Done():
			panic(http.ErrAbortHandler)
		case <-done:
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(body[i%len(body):][:1]); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
