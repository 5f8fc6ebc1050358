package rabbitmq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	dialTime  = 30 * time.Second // for a connection to be made, TLS and the handshake included
	closeTime = time.Second      // for the broker to say goodbye
)

// A link is a connection to the broker that is made again when it is lost.
type link struct {
	*config
	url  string
	name string
	up   atomic.Bool
}

// dial makes a connection, and the queues at the broker. It tries once.
func (l *link) dial(ctx context.Context) (*amqp.Connection, error) {
	cfg := l.amqp
	cfg.Properties = amqp.Table{}
	for k, v := range l.amqp.Properties {
		cfg.Properties[k] = v
	}
	if len(cfg.Properties) == 0 {
		cfg.Properties = amqp.NewConnectionProperties()
	}
	if _, ok := cfg.Properties["connection_name"]; !ok {
		cfg.Properties.SetClientConnectionName("signpost " + l.prefix + " " + l.name)
	}
	open := cfg.Dial
	if open == nil {
		open = func(network, addr string) (net.Conn, error) {
			return (&net.Dialer{Timeout: dialTime}).DialContext(ctx, network, addr)
		}
	}
	var stop func() bool
	cfg.Dial = func(network, addr string) (net.Conn, error) {
		conn, err := open(network, addr)
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(time.Now().Add(dialTime)); err != nil { // amqp091 ends it after the handshake
			return nil, errors.Join(err, conn.Close())
		}
		stop = context.AfterFunc(ctx, func() { conn.Close() })
		return conn, nil
	}
	conn, err := amqp.DialConfig(l.url, cfg)
	if err != nil {
		err = fmt.Errorf("rabbitmq: connect: %w", err)
	} else if err = l.declare(conn); err != nil {
		closeConnection(conn)
	}
	if stop != nil && !stop() && err == nil {
		err = errors.Join(ctx.Err(), conn.CloseDeadline(time.Now()))
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// closeConnection says goodbye, unless the broker doesn't answer.
func closeConnection(conn *amqp.Connection) {
	_ = conn.CloseDeadline(time.Now().Add(closeTime)) // it is gone either way
}

// run keeps a connection up until ctx is done, and has it used. first may be nil.
func (l *link) run(ctx context.Context, first *amqp.Connection, use func(ctx context.Context, conn *amqp.Connection) error) {
	wait := newBackOff()
	conn, lost := first, false
	for ctx.Err() == nil {
		var err error
		if conn == nil {
			conn, err = l.dial(ctx)
		}
		if err == nil {
			if lost {
				l.logger.Info("rabbitmq: connected again", "prefix", l.prefix, "connection", l.name)
			}
			lost = false
			wait.Reset()
			l.up.Store(true)
			using := conn
			stop := context.AfterFunc(ctx, func() { closeConnection(using) })
			err = use(ctx, conn)
			stop()
			l.up.Store(false)
			closeConnection(conn)
			conn = nil
		}
		if ctx.Err() != nil {
			return
		}
		if !lost {
			l.logger.Warn("rabbitmq: connection is lost, will be made again", "prefix", l.prefix, "connection", l.name, "err", err)
		}
		lost = true
		if !sleep(ctx, wait.NextBackOff()) {
			return
		}
	}
}

// newBackOff is how long to wait between tries, with jitter, so that instances don't come back all at once.
func newBackOff() backoff.BackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond), backoff.WithMaxInterval(5*time.Second),
		backoff.WithMultiplier(1.7), backoff.WithRandomizationFactor(0.5), backoff.WithMaxElapsedTime(0))
}

// sleep reports whether ctx lasted as long as d.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isFinal reports whether it is no use to try again what Open failed at.
func isFinal(err error) bool {
	var said *amqp.Error
	if errors.As(err, &said) {
		switch said.Code {
		case amqp.AccessRefused, amqp.NotAllowed, amqp.PreconditionFailed, amqp.NotImplemented:
			return true
		}
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return errors.Is(err, ErrTopology) || errors.As(err, &certificate) || errors.As(err, &record)
}
