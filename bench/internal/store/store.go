// Package store writes and reads the file of a durable queue in a process of its own: by the queue, or as one would write
// its table by hand.
package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/payload"
	"github.com/signpost-go/signpost/bench/internal/usage"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// Role is that of a child which writes and reads a file.
const Role = "store"

const (
	size  = 1 << 10 // bytes of a payload that Write writes
	hosts = 100     // that messages are for, each with one endpoint
	batch = 500     // messages that Fill enqueues at once
)

// Config says what to open.
type Config struct {
	Path   string
	Writer string // result.Group, result.Single or result.Pool
}

// service is an open file in a child.
type service struct {
	config Config
	writer writer
	queue  *sqlite.Queue // nil if the table is written by hand
}

// A writer makes messages durable. Its methods are safe for concurrent use.
type writer interface {
	// write returns when a message is durable that is for the host of the given number.
	write(ctx context.Context, id string, host int, payload []byte) error
	Close() error
}

// NewService returns what a child with Role does.
func NewService() child.Service { return &service{} }

// Open opens the file, which is made if there is none.
func (s *service) Open(c Config, _ *struct{}) (err error) {
	s.config = c
	s.writer, s.queue, err = open(context.Background(), c)
	return err
}

// Shut closes the file. After that Open may be called again.
func (s *service) Shut(_ struct{}, _ *struct{}) error {
	w := s.writer
	s.writer, s.queue = nil, nil
	return w.Close()
}

// Close is called in the end.
func (s *service) Close() {
	if s.writer != nil {
		s.writer.Close()
	}
}

// Count tells how many messages of each state are in the file. It must be shut.
func (s *service) Count(path string, reply *map[string]int) error {
	return withDatabase(path, func(db database) (err error) {
		*reply, err = db.count()
		return err
	})
}

// Used is what something took.
type Used struct {
	Messages int
	Took     time.Duration
	CPU      usage.CPU
}

// begin starts counting what is used.
func begin() (end func(messages int) Used) {
	cpu, start := usage.Own(), time.Now()
	return func(messages int) Used { return Used{messages, time.Since(start), usage.Own().Sub(cpu)} }
}

// queueWriter writes by the queue.
type queueWriter struct{ *sqlite.Queue }

func (w queueWriter) write(ctx context.Context, id string, host int, payload []byte) error {
	return w.Enqueue(ctx, message(id, host, payload))
}

func message(id string, host int, payload []byte) *signpost.Message {
	return &signpost.Message{ID: id, URL: urlOf(host), Payload: payload, CreatedAt: time.Now()}
}

// newID is one as a dispatcher makes them: as long, and as random.
func newID() string { return "msg_" + rand.Text() }

var urls = func() (all [hosts]string) {
	for i := range all {
		all[i] = fmt.Sprintf("https://hooks%02d.example.com/orders", i)
	}
	return all
}()

func urlOf(host int) string { return urls[host%hosts] }

// Backlog is messages that wait in a file.
type Backlog struct {
	Messages int
	First    int    // the number of the first one
	URL      string // empty: of all hosts in turn
	Payload  int    // bytes
}

// Fill enqueues them, many at once.
func (b Backlog) Fill(ctx context.Context, q signpost.Queue) error {
	msgs := make([]*signpost.Message, 0, batch)
	for i := range b.Messages {
		p := payload.New(b.Payload)
		p.Number(b.First + i)
		m := message(newID(), i, p)
		if b.URL != "" {
			m.URL = b.URL
		}
		if msgs = append(msgs, m); len(msgs) == batch || i == b.Messages-1 {
			if err := q.Enqueue(ctx, msgs...); err != nil {
				return err
			}
			msgs = msgs[:0]
		}
	}
	return nil
}

// Fill puts messages into the file.
func (s *service) Fill(b Backlog, reply *Used) error {
	end := begin()
	err := b.Fill(context.Background(), s.queue)
	*reply = end(b.Messages)
	return err
}

// Postpone has no pending message in the file due before the given time has passed. The file must be shut.
func (s *service) Postpone(p Postponement, _ *struct{}) error {
	return withDatabase(p.Path, func(db database) error { return db.postpone(p.By) })
}

// A Postponement is what Postpone is to do.
type Postponement struct {
	Path string
	By   time.Duration
}
