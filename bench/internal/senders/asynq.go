package senders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/signpost-go/signpost/bench/internal/clock"
)

var asynqKind = Kind{
	Name: "asynq + Redis",
	About: "github.com/hibiken/asynq with a Redis of its own, reached by a Unix socket and without persistence (appendonly no, save \"\"); each task signs and POSTs with an http.Client. " +
		"It looks for due tasks every 10 ms when it has none, and for due retries every second; Send is one round trip to Redis.",
	Producers: 4,
	Queue:     true,
	Redis:     true,
	New:       newAsynq,
}

const taskType = "webhook"

// task is what waits in Redis.
type task struct {
	URL     string          `json:"url"`
	Payload json.RawMessage `json:"payload"`
}

type asynqSender struct {
	queue     string
	client    *client
	enqueuer  *asynq.Client
	inspector *asynq.Inspector
	server    *asynq.Server // nil if it only sends
	delivered atomic.Int64
}

func newAsynq(c Config) (Sender, error) {
	client, err := newClient(c, c.Workers)
	if err != nil {
		return nil, err
	}
	redis := asynq.RedisClientOpt{Network: "unix", Addr: c.Redis}
	queue := c.Name
	if queue == "" {
		queue = "default"
	} else { // its default has as many connections as 4 producers need, not 64
		redis.PoolSize = c.Workers
	}
	s := &asynqSender{queue: queue, client: client, enqueuer: asynq.NewClient(redis), inspector: asynq.NewInspector(redis)}
	if c.SendOnly {
		return s, nil
	}
	s.server = asynq.NewServer(redis, asynq.Config{
		Queues:      map[string]int{queue: 1},
		Concurrency: c.Workers,
		LogLevel:    asynq.FatalLevel,
		// The defaults, 1 s and 5 s, would make every message late.
		TaskCheckInterval:        10 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc: func(n int, _ error, _ *asynq.Task) time.Duration {
			waits := c.waits()
			return waits[min(n, len(waits)-1)]
		},
		ShutdownTimeout: time.Millisecond, // what is left is given up
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc(taskType, s.post)
	if err := s.server.Start(mux); err != nil {
		return nil, fmt.Errorf("senders: asynq: %w", err)
	}
	return s, nil
}

func (s *asynqSender) Send(url string, payload []byte) error {
	b, err := json.Marshal(task{url, payload})
	if err != nil {
		return err
	}
	_, err = s.enqueuer.Enqueue(asynq.NewTask(taskType, b), asynq.Queue(s.queue), asynq.MaxRetry(attempts-1), asynq.Timeout(s.client.http.Timeout+time.Second))
	return err
}

func (s *asynqSender) post(ctx context.Context, t *asynq.Task) error {
	var what task
	if err := json.Unmarshal(t.Payload(), &what); err != nil {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	id, _ := asynq.GetTaskID(ctx)
	err := s.client.post(ctx, what.URL, id, what.Payload)
	if err != nil && !retryable(err) {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry)
	}
	if err == nil {
		s.delivered.Add(1)
	}
	return err
}

// Count asks Redis what is settled.
func (s *asynqSender) Count() (Count, error) {
	c := Count{Delivered: int(s.delivered.Load()), Shared: true}
	info, err := s.inspector.GetQueueInfo(s.queue)
	switch {
	case errors.Is(err, asynq.ErrQueueNotFound): // nothing was sent yet
		return c, nil
	case err != nil:
		return c, fmt.Errorf("senders: asynq: %w", err)
	}
	c.Settled, c.Last = info.ProcessedTotal-info.FailedTotal+info.Archived, clock.Now()
	return c, nil
}

func (s *asynqSender) Close() error {
	if s.server != nil {
		s.server.Shutdown()
	}
	s.client.close()
	return errors.Join(s.inspector.Close(), s.enqueuer.Close())
}
