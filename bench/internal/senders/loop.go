package senders

import (
	"context"

	"github.com/signpost-go/signpost/bench/internal/result"
)

var loopKind = Kind{
	Name: result.Loop,
	About: "64 goroutines in a loop, each of which signs, POSTs with an http.Client that has a timeout, and waits for the answer: no queue, no retry. " +
		"It is what a delivery costs at least, as one would write it.",
	Producers: 64,
	New:       newLoop,
}

// loop posts at once. The loops are its callers'.
type loop struct{ client *client }

func newLoop(c Config) (Sender, error) {
	client, err := newClient(c, c.Workers)
	if err != nil {
		return nil, err
	}
	return loop{client}, nil
}

func (s loop) Send(url string, payload []byte) error {
	return s.client.post(context.Background(), url, newID(), payload)
}

func (s loop) Close() error {
	s.client.close()
	return nil
}
