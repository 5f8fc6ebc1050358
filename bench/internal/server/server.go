// Package server runs the servers that queues need, each in a process of its own below one that can say what they take.
package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/usage"
	"github.com/signpost-go/signpost/internal/broker"
)

// Role is that of a child which runs a server.
const Role = "server"

// The kinds of servers.
const (
	RabbitMQ = "RabbitMQ"
	Kafka    = "Kafka"
	Redis    = "Redis"
)

// Config says which server to run.
type Config struct {
	Kind   string
	Folder string // on the disk, empty, and its own; who has made it removes it
	Fsync  string // Redis: when it syncs its log, always or everysec
}

// Started says what was started.
type Started struct {
	Address string // a URL, host and port, or the path of a socket
	Version string // empty if it doesn't tell
	Missing string // not empty: nothing was started, because this is not installed
}

// service is a running server in a child.
type service struct {
	mu  sync.Mutex   // held while the server is started and ended
	end func() error // nil: nothing runs
}

// NewService returns what a child with Role does.
func NewService() child.Service { return &service{} }

// Start starts the server: once, before everything else.
func (s *service) Start(c Config, reply *Started) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.start(c, reply)
	if errors.Is(err, broker.ErrMissing) || errors.Is(err, redis.ErrMissing) {
		reply.Missing, err = err.Error(), nil
	}
	return err
}

// start requires that mu is held.
func (s *service) start(c Config, reply *Started) error {
	if c.Kind == Redis {
		r, err := redis.Start(context.Background(), redis.Config{Folder: c.Folder, Fsync: c.Fsync})
		if err != nil {
			return err
		}
		s.end, reply.Address = r.Close, r.Socket()
		reply.Version, err = redis.Version(context.Background())
		return err
	}
	start, ok := map[string]func(string, map[string]string) (*broker.Server, error){
		RabbitMQ: broker.StartRabbitMQ, Kafka: broker.StartKafka,
	}[c.Kind]
	if !ok {
		return fmt.Errorf("server: there is no kind %q", c.Kind)
	}
	b, err := start(c.Folder, nil)
	if err != nil {
		return err
	}
	s.end, reply.Address, reply.Version = b.Kill, b.Address(), version(c.Kind, b.Address(), b)
	return nil
}

// CPU is the processor time that the server and all of its processes have taken so far. Linux counts it in hundredths of a
// second.
func (s *service) CPU(_ struct{}, reply *time.Duration) (err error) {
	*reply, err = usage.Below(os.Getpid())
	return err
}

// Stop ends the server, at once: what it holds isn't needed any more.
func (s *service) Stop(_ struct{}, _ *struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		return nil
	}
	err := s.end()
	s.end = nil
	return err
}

// Close is called in the end.
func (s *service) Close() { s.Stop(struct{}{}, nil) }
