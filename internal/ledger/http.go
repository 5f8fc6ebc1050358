package ledger

import (
	"bytes"
	"io"
	"net/http"
)

// Transport enters every attempt that goes through next. It is for WithTransport.
func (l *Ledger) Transport(next http.RoundTripper) http.RoundTripper {
	return &transport{ledger: l, next: next}
}

type transport struct {
	ledger *Ledger
	next   http.RoundTripper
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	id := req.Header.Get("Webhook-Id")
	t.ledger.begin(id)
	resp, err := t.next.RoundTrip(req)
	if err == nil {
		t.ledger.answer(id, resp)
	}
	return resp, err
}

// CloseIdleConnections lets http.Client and tests reach the transport's own.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Handler is a receiver's handler that enters what arrives, and what next answers with a 2xx. It answers 401 to what
// doesn't verify.
func (l *Ledger) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it broke off: nothing has arrived
		}
		if !l.Arrive(r.Header, body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := &recorder{ResponseWriter: w, handled: func() { l.Handle(r.Header.Get("Webhook-Id")) }}
		next.ServeHTTP(rec, r)
		if rec.handled != nil { // next has left it at an empty 200
			rec.handled()
		}
	})
}

// A recorder calls handled when a 2xx is written.
type recorder struct {
	http.ResponseWriter
	handled func() // nil once a status is written
}

func (r *recorder) WriteHeader(status int) {
	if r.handled != nil && status >= 200 {
		if status < 300 {
			r.handled()
		}
		r.handled = nil
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.handled != nil {
		r.WriteHeader(http.StatusOK)
	}
	return r.ResponseWriter.Write(p)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
