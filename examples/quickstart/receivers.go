package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// A receiver is a service that is told of events: an HTTP server with a listener, and so a host, of its own.
type receiver struct {
	name    string
	answer  func(http.ResponseWriter, *http.Request, visit)
	reasons []error // with which its messages should be dead; none: they should be delivered

	host   string
	url    string
	server *http.Server
	served chan struct{} // closed when the server has ended

	mu       sync.Mutex          // protects the following fields
	requests int                 // verified ones
	arrivals map[string]*arrival // by webhook-id
}

// An arrival is a message that has come to a receiver, once or more often.
type arrival struct {
	first  time.Time
	visits int
}

// A visit is a verified request, by its number.
type visit struct {
	ofMessage int // 1 for a message's first
	ofAll     int
}

// startReceivers starts one of each kind.
func startReceivers(secret signpost.Secret) ([]*receiver, error) {
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		return nil, err
	}
	receivers := []*receiver{
		{name: "healthy", answer: healthy},
		{name: "flaky", answer: flaky},
		{name: "busy", answer: busy},
		{name: "hung", answer: hung, reasons: []error{signpost.ErrExhausted, signpost.ErrExpired}},
		{name: "gone", answer: gone, reasons: []error{signpost.ErrGone}},
	}
	for i, r := range receivers {
		if err := r.start(verifier); err != nil {
			stopReceivers(receivers[:i])
			return nil, fmt.Errorf("starting receiver %s: %w", r.name, err)
		}
	}
	return receivers, nil
}

func stopReceivers(receivers []*receiver) {
	for _, r := range receivers {
		r.server.Close()
		<-r.served
	}
}

func healthy(w http.ResponseWriter, _ *http.Request, _ visit) {
	w.WriteHeader(http.StatusOK)
}

func flaky(w http.ResponseWriter, _ *http.Request, v visit) {
	if v.ofMessage <= 2 {
		http.Error(w, "try again", http.StatusInternalServerError)
	}
}

func busy(w http.ResponseWriter, _ *http.Request, v visit) {
	if v.ofMessage == 1 && v.ofAll <= 20 {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "come back in a second", http.StatusTooManyRequests)
	}
}

func hung(_ http.ResponseWriter, r *http.Request, _ visit) {
	<-r.Context().Done() // until the sender hangs up
}

func gone(w http.ResponseWriter, _ *http.Request, _ visit) {
	http.Error(w, "nobody listens here any more", http.StatusGone)
}

func (r *receiver) start(verifier *signpost.Verifier) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.host = listener.Addr().String()
	r.url = "http://" + r.host
	r.arrivals = make(map[string]*arrival)
	r.served = make(chan struct{})
	r.server = &http.Server{Handler: verifier.Handler(r), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(r.served)
		r.server.Serve(listener) // until it is closed
	}()
	return nil
}

// ServeHTTP gets verified requests only: the verifier answers all others.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.answer(w, req, r.receive(req.Header.Get("webhook-id")))
}

func (r *receiver) receive(id string) visit {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrivals[id]
	if a == nil {
		a = &arrival{first: time.Now()}
		r.arrivals[id] = a
	}
	a.visits++
	r.requests++
	return visit{ofMessage: a.visits, ofAll: r.requests}
}

// arrival returns when a message first came, and whether it did.
func (r *receiver) arrival(id string) (first time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.arrivals[id]
	if a == nil {
		return time.Time{}, false
	}
	return a.first, true
}
