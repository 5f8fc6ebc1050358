package receiver

import (
	"time"

	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/clock"
)

// Role is that of a child which serves a receiver.
const Role = "receiver"

// service is a Receiver in a child.
type service struct{ receiver *Receiver }

// NewService returns what a child with Role does.
func NewService() child.Service { return &service{} }

// Opened says where a receiver is reached.
type Opened struct {
	URLs  []string
	Roots []byte
}

// Open starts the receiver: once, before everything else.
func (s *service) Open(c Config, reply *Opened) error {
	r, err := New(c)
	if err != nil {
		return err
	}
	s.receiver = r
	*reply = Opened{r.URLs(), r.Roots()}
	return nil
}

// Start is Receiver.Start.
func (s *service) Start(t clock.Time, _ *struct{}) error {
	s.receiver.Start(t)
	return nil
}

// Expected is what to wait for.
type Expected struct {
	Messages int
	Patience time.Duration
}

// Wait is Receiver.Wait.
func (s *service) Wait(e Expected, _ *struct{}) error {
	return s.receiver.Wait(e.Messages, e.Patience)
}

// Report is Receiver.Report.
func (s *service) Report(_ struct{}, reply *Report) (err error) {
	*reply, err = s.receiver.Report()
	return err
}

func (s *service) Close() {} // everything ends with the process
