package main

import (
	"hash/crc32"
	"net"
	"net/http"
	"sync"

	"github.com/signpost-go/signpost"
)

// A receiver is one of those who want to know of orders.
type receiver struct {
	name   string
	answer func(s *server, id string) int
}

var receivers = []receiver{
	{"warehouse", func(*server, string) int { return http.StatusNoContent }},
	{"accounts", func(s *server, id string) int {
		if crc32.ChecksumIEEE([]byte(id))%4 == 0 && s.first(id) {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	}},
	{"newsletter", func(s *server, _ string) int {
		if s.mended {
			return http.StatusNoContent
		}
		return http.StatusGone
	}},
}

// A server is all receivers. In a real shop they are other people's.
type server struct {
	http   *http.Server
	mended bool

	mu   sync.Mutex
	seen map[string]bool // webhook IDs
}

func serve(address string, secret signpost.Secret, mended bool) (*server, error) {
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &server{mended: mended, seen: map[string]bool{}}
	mux := http.NewServeMux()
	for _, r := range receivers {
		mux.Handle("POST /"+r.name, verifier.Handler(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.WriteHeader(r.answer(s, req.Header.Get("webhook-id")))
		})))
	}
	s.http = &http.Server{Handler: mux}
	go s.http.Serve(listener) // until close
	return s, nil
}

// first reports whether a webhook has not been seen before.
func (s *server) first(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.seen[id]
	s.seen[id] = true
	return first
}

func (s *server) close() error { return s.http.Close() }
