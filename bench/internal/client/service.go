// Package client is the sender's side of a measurement: a process that has one sender, puts load on it, and says what
// that took.
package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/store"
	"github.com/signpost-go/signpost/bench/internal/usage"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// Role is that of a child which sends.
const Role = "sender"

// Config is what to send with, and where to.
type Config struct {
	Sender  string // its name
	Senders senders.Config
	URLs    []string
	Order   []int // message i goes to the URL number Order[i mod len(Order)]
	Payload int   // bytes

	Producers int           // call Send at the same time; 0: as many as the sender needs
	Backlog   store.Backlog // is in the durable queue before the sender is made; it goes to the URL number BacklogTo
	BacklogTo int
}

// Usage is what the process has used since the last load began.
type Usage struct {
	CPU        usage.CPU
	Beside     time.Duration // processor time of Redis
	Memory     int64         // peak resident bytes, since the process began
	Goroutines int           // most at any time
}

// service is a sender in a child.
type service struct {
	config     Config
	sender     senders.Sender
	redis      *redis.Server // nil if it isn't needed
	goroutines atomic.Int64  // most at any time
	stop       context.CancelFunc

	// When the last load began:
	cpu    usage.CPU
	beside time.Duration
}

// NewService returns what a child with Role does.
func NewService() child.Service { return &service{stop: func() {}} }

// Open makes the sender: once, before everything else.
func (s *service) Open(c Config, _ *struct{}) error {
	kind, err := senders.ByName(c.Sender)
	if err != nil {
		return err
	}
	for _, i := range c.Order {
		if i < 0 || i >= len(c.URLs) {
			return fmt.Errorf("client: the order has the URL number %d, and there are %d", i, len(c.URLs))
		}
	}
	if len(c.Order) == 0 {
		return fmt.Errorf("client: there is no order")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	if kind.Redis && c.Senders.Redis == "" {
		if s.redis, err = redis.Start(ctx, redis.Config{}); err != nil {
			return err
		}
		c.Senders.Redis = s.redis.Socket()
	}
	if c.Backlog.Messages > 0 {
		if err := fill(ctx, c); err != nil {
			return err
		}
	}
	if s.sender, err = kind.New(c.Senders); err != nil {
		return err
	}
	if c.Producers == 0 {
		c.Producers = kind.Producers
	}
	s.config = c
	go s.countGoroutines(ctx)
	return nil
}

// fill puts the backlog into the queue's file.
func fill(ctx context.Context, c Config) error {
	q, err := sqlite.Open(ctx, c.Senders.File)
	if err != nil {
		return err
	}
	b := c.Backlog
	b.URL = c.URLs[c.BacklogTo]
	return errors.Join(b.Fill(ctx, q), q.Close())
}

// countGoroutines notes the most goroutines there are, until ctx is done.
func (s *service) countGoroutines(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s.goroutines.Store(max(s.goroutines.Load(), int64(runtime.NumGoroutine())))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Load puts load on the sender.
func (s *service) Load(l Load, reply *Loaded) error {
	if err := s.Begin(struct{}{}, nil); err != nil {
		return err
	}
	*reply = l.run(s.config, s.config.Producers, s.sender)
	return nil
}

// Begin begins to count what is used, as Load does.
func (s *service) Begin(_ struct{}, _ *struct{}) (err error) {
	s.beside, err = s.redisCPU()
	s.goroutines.Store(0)
	s.cpu = usage.Own()
	return err
}

// Usage returns what was used since the last Load or Begin.
func (s *service) Usage(_ struct{}, reply *Usage) error {
	reply.CPU = usage.Own().Sub(s.cpu)
	beside, err := s.redisCPU()
	if err != nil {
		return err
	}
	reply.Beside = beside - s.beside
	reply.Goroutines = int(max(s.goroutines.Load(), int64(runtime.NumGoroutine())))
	reply.Memory, err = usage.PeakMemory()
	return err
}

// Settled is how many messages to wait for.
type Settled struct {
	Messages int
	Patience time.Duration
}

// Settled returns when so many messages have been settled, and when that was. After patience without that it returns
// an error. The sender must count them.
func (s *service) Settled(w Settled, reply *clock.Time) error {
	for give := clock.Now().Add(w.Patience); ; clock.Sleep(clock.Now().Add(time.Millisecond)) {
		var count senders.Count
		if err := s.Count(struct{}{}, &count); err != nil {
			return err
		}
		*reply = clock.Now()
		switch {
		case count.Settled >= w.Messages:
			return nil
		case *reply > give:
			return fmt.Errorf("client: %d of %d messages are settled after %v", count.Settled, w.Messages, w.Patience)
		}
	}
}

// Count returns what the sender has counted. It must be one that counts.
func (s *service) Count(_ struct{}, reply *senders.Count) (err error) {
	counter, ok := s.sender.(senders.Counter)
	if !ok {
		return fmt.Errorf("client: %s does not count what it has settled", s.config.Sender)
	}
	*reply, err = counter.Count()
	return err
}

func (s *service) redisCPU() (time.Duration, error) {
	if s.redis == nil {
		return 0, nil
	}
	return s.redis.CPU()
}

// Close ends what doesn't end with the process.
func (s *service) Close() {
	s.stop()
	if s.redis == nil {
		return
	}
	if s.sender != nil {
		s.sender.Close() // or it would complain that its server is gone
	}
	s.redis.Close()
}

// Per divides the usage by messages.
func (u Usage) Per(messages int) result.Usage {
	n := time.Duration(messages)
	return result.Usage{User: u.CPU.User / n, System: u.CPU.System / n, Beside: u.Beside / n}
}
