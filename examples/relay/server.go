package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// healthPatience is how long /readyz waits for the queue's word: less than the second that Kubernetes waits for a probe.
const healthPatience = 800 * time.Millisecond

// A state is what a relay is doing.
type state string

const (
	starting   state = "starting" // it waits for the queue
	delivering state = "delivering"
	draining   state = "draining"
)

// A server answers who asks how the relay is.
type server struct {
	config *config
	http   *http.Server
	failed chan error // gets why the server ended, if it did so by itself
	done   chan struct{}

	mu         sync.Mutex // protects the following fields
	state      state
	queue      queue                // nil while starting
	dispatcher *signpost.Dispatcher // likewise
}

// serve starts a server.
func serve(c *config, log *slog.Logger) (*server, error) {
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return nil, fmt.Errorf("SIGNPOST_LISTEN=%q: %w", c.listen, err)
	}
	s := &server{config: c, state: starting, failed: make(chan error, 1), done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /stats", s.stats)
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	log.Info("relay: listening", "address", listener.Addr().String())
	return s, nil
}

// begin tells the server that messages are being delivered.
func (s *server) begin(q queue, d *signpost.Dispatcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.queue, s.dispatcher = delivering, q, d
}

// drain tells it that the relay is about to end.
func (s *server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = draining
}

func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil { // somebody is slow
		s.http.Close()
	}
	<-s.done
	return nil
}

// healthz says that the process lives, whatever else is wrong: to start it again would mend nothing.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "ok")
}

// readyz says whether messages can come.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	state, q := s.state, s.queue
	s.mu.Unlock()
	if state != delivering {
		answer(w, http.StatusServiceUnavailable, string(state))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), healthPatience)
	defer cancel()
	if err := q.Healthy(ctx); err != nil {
		answer(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	answer(w, http.StatusOK, "ready")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// stats is a snapshot for people and their dashboards.
func (s *server) stats(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	state, q, d := s.state, s.queue, s.dispatcher
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	e.Encode(newReport(s.config, state, q, d)) // an error: who asked has gone
}
