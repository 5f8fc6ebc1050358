package store

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/payload"
)

// Load is messages to write as fast as it goes.
type Load struct {
	Producers int           // at the same time, each of which waits until its message is durable
	For       time.Duration // then each ends the write that it has begun
}

// Write puts load on the file.
func (s *service) Write(l Load, reply *Used) error {
	var written atomic.Int64
	g, ctx := errgroup.WithContext(context.Background())
	end := begin()
	until := time.Now().Add(l.For)
	for range l.Producers {
		g.Go(func() error {
			p := payload.New(size)
			for time.Now().Before(until) && ctx.Err() == nil {
				n := int(written.Add(1) - 1)
				p.Number(n)
				// The context is one that can't end: that is cheaper for the driver.
				if err := s.writer.write(context.Background(), newID(), n, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	*reply = end(int(written.Load()))
	return err
}

// Taking is messages to receive.
type Taking struct {
	Messages int // as many must be due
	Settlers int // that receive and settle at the same time, as a dispatcher's workers do; 0: nobody settles
}

// Take receives messages. Those that are settled were delivered by one attempt that was answered 200.
func (s *service) Take(t Taking, reply *Used) error {
	var taken atomic.Int64
	g, ctx := errgroup.WithContext(context.Background())
	end := begin()
	for range max(1, t.Settlers) {
		g.Go(func() error {
			for int(taken.Add(1)) <= t.Messages && ctx.Err() == nil {
				start := time.Now()
				lease, err := s.queue.Receive(context.Background())
				if err != nil {
					return err
				}
				if t.Settlers == 0 {
					continue
				}
				if err := lease.Settle(context.Background(), delivered(lease.Message(), start)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	*reply = end(t.Messages)
	return err
}

func delivered(m *signpost.Message, start time.Time) signpost.Outcome {
	return signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{
		Number: m.Attempts + 1, Start: start, Duration: time.Since(start), StatusCode: 200,
	}}
}
