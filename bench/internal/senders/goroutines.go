package senders

import "bytes"

var goroutinesKind = Kind{
	Name: "goroutine per message",
	About: "Each message starts a goroutine that signs, POSTs with an http.Client, and sleeps between its attempts. " +
		"Where cost is measured, Send waits while there are 64 of them.",
	Producers: 1,
	Queue:     true,
	New:       newGoroutines,
}

type goroutines struct {
	config Config
	client *client
	places chan struct{} // as many as there may be goroutines; nil: no limit
}

func newGoroutines(c Config) (Sender, error) {
	client, err := newClient(c, c.Workers)
	if err != nil {
		return nil, err
	}
	s := &goroutines{config: c, client: client}
	if c.Backpressure {
		s.places = make(chan struct{}, c.Workers)
	}
	return s, nil
}

func (s *goroutines) Send(url string, payload []byte) error {
	body := bytes.Clone(payload)
	if s.places == nil {
		go s.client.deliver(url, body, s.config.waits())
		return nil
	}
	s.places <- struct{}{}
	go func() {
		defer func() { <-s.places }()
		s.client.deliver(url, body, s.config.waits())
	}()
	return nil
}

func (s *goroutines) Close() error {
	s.client.close()
	return nil
}
