package senders

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// client is what all senders but signpost post with.
type client struct {
	key  []byte
	http *http.Client
}

func newClient(c Config, idlePerHost int) (*client, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	tls, err := c.tls()
	if err != nil {
		return nil, err
	}
	return &client{key, &http.Client{
		Timeout: c.Timeout,
		Transport: &http.Transport{
			TLSClientConfig:     tls,
			MaxIdleConns:        0, // no limit
			MaxIdleConnsPerHost: idlePerHost,
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true,
		},
	}}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// newID returns an ID for a message.
func newID() string { return "msg_" + rand.Text() }

// post makes one attempt. An answer other than 2xx is an error.
func (c *client) post(ctx context.Context, url, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, c.key, id, body)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return &statusError{resp.StatusCode}
	}
	return nil
}

// sign adds the headers of Standard Webhooks.
func sign(h http.Header, key []byte, id string, body []byte) {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// statusError is an answer other than 2xx.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("answered %d", e.code) }

// retryable tells whether to try again after err: after what is no answer, a 5xx and a 429.
func retryable(err error) bool {
	if e, ok := err.(*statusError); ok {
		return e.code >= 500 || e.code == http.StatusTooManyRequests
	}
	return err != nil
}

// deliver posts until it succeeds or the attempts are used up, sleeping in between.
func (c *client) deliver(url string, body []byte, waits [attempts - 1]time.Duration) error {
	id := newID()
	for n := 0; ; n++ {
		err := c.post(context.Background(), url, id, body)
		if !retryable(err) || n == len(waits) {
			return err
		}
		time.Sleep(waits[n])
	}
}
