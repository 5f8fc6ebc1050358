package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost/internal/lines"
)

// Open opens the queue at the broker with the given URL, "amqps://user:password@broker.example/vhost". It declares the queues
// there that it needs, unless they are there already; if one of them has other arguments it returns [ErrTopology], which says
// which one and what differs.
//
// While the broker can't be reached Open tries again, until ctx is done. What trying again doesn't help is returned at once: a
// password that is wrong, a virtual host that isn't there, a certificate that can't be trusted. ctx bounds Open alone.
func Open(ctx context.Context, url string, opts ...Option) (*Queue, error) {
	config, err := newConfig(opts)
	if _, parsed := amqp.ParseURI(url); parsed != nil {
		err = errors.Join(err, errUnparsed)
	}
	if err != nil {
		return nil, err
	}
	q := &Queue{
		config: config, publisher: newPublisher(config), copies: newCopies(),
		publishing:  &link{config: config, url: url, name: "publishing"},
		consumption: &link{config: config, url: url, name: "consuming"},
		changed:     make(chan struct{}), shelf: lines.New[*entry](), here: map[*entry]struct{}{},
		taking: map[*consumer]struct{}{}, piles: map[string]*pile{}, known: map[string]*entry{},
		recent: newRecent(), away: map[string]time.Time{}, awaySweep: 64,
	}
	conn, err := q.publishing.first(ctx)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	q.running, q.stop = running, stop
	q.publishing.up.Store(true)
	q.wg.Go(func() { q.publishing.run(running, conn, q.publisher.use) })
	return q, nil
}

var errUnparsed = errors.New("rabbitmq: URL can't be parsed; give one such as amqp://user:password@broker.example:5672/vhost")

// first makes the first connection.
func (l *link) first(ctx context.Context) (*amqp.Connection, error) {
	wait := newBackOff()
	for tries := 0; ; tries++ {
		conn, err := l.dial(ctx)
		switch {
		case err == nil:
			return conn, nil
		case isFinal(err):
			return nil, err
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		case tries == 0:
			l.logger.Warn("rabbitmq: broker can't be reached, will try again", "prefix", l.prefix, "err", err)
		}
		if !sleep(ctx, wait.NextBackOff()) {
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
