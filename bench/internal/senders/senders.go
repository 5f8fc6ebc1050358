// Package senders has the ways to send webhooks that are compared. Each is written as those who choose it would write
// it, and set up as well as it can be: the same timeout, signature and retries for all, and idle connections enough.
package senders

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// A Sender sends webhooks. Send is safe for concurrent use.
type Sender interface {
	// Send posts payload to url, or has taken it over to do so when it returns nil. The caller may change payload
	// afterwards.
	Send(url string, payload []byte) error
	// Close ends the sender. What is not delivered by then is given up.
	Close() error
}

// A Counter is a Sender that counts.
type Counter interface {
	Count() (Count, error)
}

// A Count is how many messages have ended.
type Count struct {
	Delivered int        // by this sender
	Settled   int        // that nothing is left to do for: in a durable queue they are settled
	Last      clock.Time // when the last one was settled; 0: none
	Shared    bool       // Settled is that of all senders which share the queue, and Last is now
}

// A Kind is one way to send webhooks.
type Kind struct {
	Name  string
	About string // one sentence
	// Producers is how many goroutines must call Send at the same time so that a slow answer, of the receiver or of a
	// database, doesn't hold up the next call.
	Producers int
	Queue     bool // Send doesn't wait for the delivery of what it is given
	Redis     bool // Config.Redis is needed
	New       func(Config) (Sender, error)
}

// Kinds are all of them, in the order in which they are shown.
func Kinds() []Kind {
	return []Kind{signpostKind, loopKind, goroutinesKind, poolKind, antsKind, asynqKind}
}

// ByName returns the kind of that name.
func ByName(name string) (Kind, error) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, nil
		}
	}
	return Kind{}, fmt.Errorf("senders: there is no sender %q", name)
}

// Reported is what a report says of all kinds.
func Reported() []result.Sender {
	var s []result.Sender
	for _, k := range Kinds() {
		s = append(s, result.Sender{Name: k.Name, About: k.About})
	}
	return s
}

// Config is what the senders have in common, and what some of them need.
type Config struct {
	Secret  string        // whsec_…
	Workers int           // where there is a pool
	Buffer  int           // messages, where there is a queue in memory
	Timeout time.Duration // of an attempt
	Wait    time.Duration // after the first failed attempt; doubles with each
	Roots   []byte        // PEM: the CA to trust; none for plain HTTP
	Redis   string        // path of its socket
	Name    string        // of the queue on a server; empty: the default
	// Backpressure lets Send wait where it would fail, or take in without limit.
	Backpressure bool
	// SendOnly leaves the delivery to other processes that share the queue.
	SendOnly bool

	// For signpost alone.
	HostConcurrency int     // 0: its default
	Rate            float64 // attempts a second at each host; 0: no limit, as the other senders have none
	Burst           int
	NoSessions      bool // never resume a TLS session
	Count           bool // it counts what it has settled, as a Counter
	// Where its durable queue is; all empty: its queue is in memory.
	File     string // of SQLite
	RabbitMQ string // a URL
	Kafka    string // host and port
}

// attempts is how often a message is tried.
const attempts = 5

// waits are how long to wait after each failed attempt but the last.
func (c Config) waits() [attempts - 1]time.Duration {
	return [...]time.Duration{c.Wait, 2 * c.Wait, 4 * c.Wait, 8 * c.Wait}
}

// key is the secret's bytes.
func (c Config) key() ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.Secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return nil, errors.New("senders: the secret is not whsec_ and base64")
	}
	return key, nil
}

// tls returns what to set in a transport; nil for plain HTTP.
func (c Config) tls() (*tls.Config, error) {
	if len(c.Roots) == 0 {
		return nil, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.Roots) {
		return nil, errors.New("senders: the roots are no PEM certificates")
	}
	return &tls.Config{RootCAs: roots}, nil
}

// limit is the rate limit.
func (c Config) limit() (rate.Limit, int) {
	if c.Rate == 0 {
		return rate.Inf, 0
	}
	return rate.Limit(c.Rate), c.Burst
}
