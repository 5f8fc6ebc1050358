package kafka

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// An outage says in the log, once each, that the brokers can't be reached, and that they can again.
type outage struct {
	logger *slog.Logger

	mu sync.Mutex // protects the following fields
	is bool
}

// OnBrokerConnect is called by the clients after every attempt to connect.
func (o *outage) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		o.note(err)
		return
	}
	if o.becomes(false) {
		o.logger.Info("kafka: connected again")
	}
}

func (o *outage) note(err error) {
	if o.becomes(true) {
		o.logger.Warn("kafka: no connection to the brokers, will try again", "err", err)
	}
}

// becomes reports whether it was otherwise before.
func (o *outage) becomes(is bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.is
	o.is = is
	return before != is
}
