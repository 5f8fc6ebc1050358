package senders

import "bytes"

var poolKind = Kind{
	Name: "pool",
	About: "A channel of 10,000 messages (1,000 where cost is measured) and a pool of workers, each of which signs, POSTs with an http.Client, and sleeps between the attempts of its message. " +
		"Send blocks when the channel is full.",
	Producers: 1,
	Queue:     true,
	New:       newPool,
}

type pool struct {
	client *client
	queue  chan message
	closed chan struct{}
}

type message struct {
	url  string
	body []byte
}

func newPool(c Config) (Sender, error) {
	client, err := newClient(c, c.Workers)
	if err != nil {
		return nil, err
	}
	p := &pool{client, make(chan message, c.Buffer), make(chan struct{})}
	for range c.Workers {
		go func() {
			for {
				select {
				case m := <-p.queue:
					client.deliver(m.url, m.body, c.waits())
				case <-p.closed:
					return
				}
			}
		}()
	}
	return p, nil
}

func (s *pool) Send(url string, payload []byte) error {
	s.queue <- message{url, bytes.Clone(payload)}
	return nil
}

func (s *pool) Close() error {
	close(s.closed)
	s.client.close()
	return nil
}
