package senders

import (
	"bytes"
	"io"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/panjf2000/ants/v2"
)

var antsKind = Kind{
	Name: "ants + go-retryablehttp",
	About: "A pool of github.com/panjf2000/ants; each task signs and POSTs with a client of github.com/hashicorp/go-retryablehttp, which retries. " +
		"Send blocks while all workers are busy.",
	Producers: 1,
	Queue:     true,
	New:       newAnts,
}

type antsSender struct {
	key    []byte
	client *retryablehttp.Client
	pool   *ants.Pool
}

func newAnts(c Config) (Sender, error) {
	plain, err := newClient(c, c.Workers)
	if err != nil {
		return nil, err
	}
	pool, err := ants.NewPool(c.Workers)
	if err != nil {
		return nil, err
	}
	client := retryablehttp.NewClient()
	client.HTTPClient = plain.http
	client.Logger = nil
	client.RetryMax = attempts - 1
	client.RetryWaitMin = c.waits()[0]
	client.RetryWaitMax = c.waits()[attempts-2]
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return &antsSender{plain.key, client, pool}, nil
}

func (s *antsSender) Send(url string, payload []byte) error {
	body := bytes.Clone(payload)
	return s.pool.Submit(func() { s.post(url, body) })
}

func (s *antsSender) post(url string, body []byte) error {
	req, err := retryablehttp.NewRequest(http.MethodPost, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, s.key, newID(), body)
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode/100 != 2 {
		return &statusError{resp.StatusCode}
	}
	return nil
}

func (s *antsSender) Close() error {
	s.pool.Release()
	s.client.HTTPClient.CloseIdleConnections()
	return nil
}
