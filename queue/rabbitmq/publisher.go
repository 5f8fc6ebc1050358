package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A publication is a message on its way into a queue at the broker.
type publication struct {
	queue string
	msg   amqp.Publishing
	late  bool            // it is moved, and nobody waits: those for whom somebody does go first
	ctx   context.Context // of a caller that waits; once done it is left out, if it wasn't published yet. nil: nobody does
	then  func(error)     // called once: nil: it is durable; must not block

	tag        uint64
	suspect    bool // a channel was closed on which it was: it is published alone, to find out whether that was its doing
	unroutable bool
}

// A publisher publishes messages, each with the flag mandatory and a confirm. What isn't confirmed when its channel ends is
// published again on the next one.
//
// One goroutine publishes and one waits for confirms, in order. A third one takes returns, at once, and does nothing else:
// amqp091 drops what isn't taken within seconds, as it does confirms unless they are asked for one by one.
type publisher struct {
	*config
	kick chan struct{} // has room for one: there is something to do

	mu      sync.Mutex // protects the following fields; a leaf
	waiting []*publication
	late    []*publication          // … after those
	pending map[uint64]*publication // published on the present channel, by delivery tag
	largest int                     // bytes of the largest payload that was confirmed on this connection
	refused int                     // … of the smallest that the broker has refused on it; 0: none
	blocked bool                    // by the broker
	missing bool                    // a queue is
	left    int                     // of those waiting, whose callers have left, at most
	closed  bool
}

func newPublisher(c *config) *publisher {
	return &publisher{config: c, kick: make(chan struct{}, 1), pending: map[uint64]*publication{}}
}

// submit has messages published, and reports whether it will be: if not, the publisher is closed. It doesn't block.
func (p *publisher) submit(ps ...*publication) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	for _, pub := range ps {
		if pub.late {
			p.late = append(p.late, pub)
		} else {
			p.waiting = append(p.waiting, pub)
		}
	}
	p.wake()
	return true
}

// leave is called when the caller of n publications has left. While the broker takes nothing they would stay for ever.
func (p *publisher) leave(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left += n; p.left <= len(p.waiting)/2+64 {
		return
	}
	p.left = 0
	p.waiting = slices.DeleteFunc(p.waiting, func(pub *publication) bool { return pub.ctx != nil && pub.ctx.Err() != nil })
}

func (p *publisher) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// close fails what isn't confirmed.
func (p *publisher) close() {
	p.mu.Lock()
	p.closed = true
	all := append(p.waiting, p.late...)
	for _, pub := range p.pending {
		all = append(all, pub)
	}
	p.waiting, p.late = nil, nil
	clear(p.pending)
	p.mu.Unlock()
	for _, pub := range all {
		pub.then(ErrClosed)
	}
}

// use publishes on a connection until that has ended.
func (p *publisher) use(ctx context.Context, conn *amqp.Connection) error {
	p.mu.Lock()
	p.largest, p.refused, p.blocked = 0, 0, false
	p.mu.Unlock()
	ended := conn.NotifyClose(make(chan *amqp.Error, 1))
	blockings := conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	wait := newBackOff()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer closeConnection(conn)
	wg.Go(func() {
		for b := range blockings {
			p.setBlocked(b)
		}
	})
	for {
		err := p.useChannel(ctx, conn)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		select {
		case said := <-ended:
			return errors.Join(err, asError(said))
		default:
		}
		if conn.IsClosed() {
			return err
		}
		var said *amqp.Error
		if !errors.As(err, &said) { // the broker hasn't closed the channel alone
			return err
		}
		if said.Code == amqp.PreconditionFailed { // a message was too large; whose, is found out
			p.logger.Debug("rabbitmq: broker has closed the channel that publishes", "prefix", p.prefix, "err", err)
			continue
		}
		p.logger.Warn("rabbitmq: broker has closed the channel that publishes, will try again", "prefix", p.prefix, "err", err)
		if !sleep(ctx, wait.NextBackOff()) {
			return ctx.Err()
		}
	}
}

func (p *publisher) setBlocked(b amqp.Blocking) {
	p.mu.Lock()
	changed := p.blocked != b.Active
	p.blocked = b.Active
	p.mu.Unlock()
	switch {
	case changed && b.Active:
		p.logger.Warn("rabbitmq: broker takes no messages, they wait", "prefix", p.prefix, "reason", b.Reason)
	case changed:
		p.logger.Info("rabbitmq: broker takes messages again", "prefix", p.prefix)
	}
	p.wake()
}

const (
	maxUnconfirmed = 4096 // messages that are on their way to the broker
	maxLate        = 512  // … with which those that nobody waits for wait
)

// An unconfirmed message was published.
type unconfirmed struct {
	confirmation *amqp.DeferredConfirmation
	tag          uint64
}

// useChannel publishes on a channel until that has ended.
func (p *publisher) useChannel(ctx context.Context, conn *amqp.Connection) error {
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("rabbitmq: open a channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return fmt.Errorf("rabbitmq: ask for confirms: %w", err)
	}
	// A return comes before its message's confirm, and has been taken when that is read, since it isn't buffered.
	returns := ch.NotifyReturn(make(chan amqp.Return))
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	published := make(chan unconfirmed, maxUnconfirmed)
	over := make(chan struct{})
	var said *amqp.Error
	var wg sync.WaitGroup
	noted := make(chan struct{}) // received from while every return that was taken is noted
	wg.Go(func() {
		defer close(over)
		for {
			select {
			case r, ok := <-returns:
				if !ok {
					said = <-closed
					return
				}
				p.returned(&r)
			case noted <- struct{}{}:
			}
		}
	})
	wg.Go(func() {
		for u := range published {
			select {
			case <-u.confirmation.Done():
			case <-over:
			}
			select {
			case <-noted:
			case <-over:
			}
			if acked := u.confirmation.Acked(); acked || !ch.IsClosed() { // what wasn't confirmed counts as rejected then
				p.confirmed(u.tag, acked)
			}
		}
	})
	err = p.publishAll(ctx, conn, ch, over, published)
	close(published)
	if !ch.IsClosed() { // a broker that doesn't answer must not keep it: it ends with its connection
		closeConnection(conn)
	}
	wg.Wait()
	p.again(said)
	return errors.Join(err, asError(said))
}

func asError(e *amqp.Error) error {
	if e == nil {
		return nil
	}
	return e
}

// publishAll publishes what waits, and what comes, until the channel or ctx is over.
func (p *publisher) publishAll(ctx context.Context, conn *amqp.Connection, ch *amqp.Channel, over <-chan struct{},
	published chan<- unconfirmed) error {
	for {
		pub, declare := p.next(conn.Config.FrameSize, ch)
		if declare {
			if err := p.declare(conn); err != nil {
				return err
			}
		}
		if pub != nil {
			c, err := ch.PublishWithDeferredConfirm("", pub.queue, true, false, pub.msg)
			if err != nil {
				return fmt.Errorf("rabbitmq: publish: %w", err)
			}
			select {
			case published <- unconfirmed{c, pub.tag}:
			case <-over:
				return nil
			}
			continue
		}
		select {
		case <-p.kick:
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next returns the next message to be published, which is pending from then on, and whether queues are to be declared first.
func (p *publisher) next(frame int, ch *amqp.Channel) (pub *publication, declare bool) {
	var drop []func()
	defer func() {
		for _, f := range drop {
			f()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	declare, p.missing = p.missing, false
	for !p.blocked {
		if len(p.waiting) == 0 && len(p.late) > 0 && len(p.pending) < maxLate {
			p.waiting = append(p.waiting, p.late[0])
			p.late[0] = nil
			p.late = p.late[1:]
		}
		if len(p.waiting) == 0 {
			return nil, declare
		}
		pub = p.waiting[0]
		if (pub.suspect || p.hasSuspect()) && len(p.pending) > 0 {
			return nil, declare
		}
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		if err := p.refuse(pub, frame); err != nil {
			then := pub.then
			drop = append(drop, func() { then(err) })
			pub = nil
			continue
		}
		pub.tag = ch.GetNextPublishSeqNo()
		p.pending[pub.tag] = pub
		return pub, declare
	}
	return nil, declare
}

// hasSuspect requires that mu is held.
func (p *publisher) hasSuspect() bool {
	if len(p.pending) != 1 {
		return false // a suspect is alone
	}
	for _, pub := range p.pending {
		return pub.suspect
	}
	return false
}

// refuse says why pub isn't published, if it isn't. It requires that mu is held.
func (p *publisher) refuse(pub *publication, frame int) error {
	if pub.ctx != nil && pub.ctx.Err() != nil {
		return pub.ctx.Err()
	}
	if n := headSize(&pub.msg); frame > 0 && n > frame {
		return fmt.Errorf("%w: %w: message %q has some %d bytes of headers; a frame takes %d (the broker's frame_max)",
			ErrRefused, errTooLarge, pub.msg.MessageId, n, frame)
	}
	if n := len(pub.msg.Body); p.refused > 0 && n >= p.refused {
		return fmt.Errorf("%w: %w: message %q has a payload of %d bytes, and the broker has refused one of %d (its max_message_size)",
			ErrRefused, errTooLarge, pub.msg.MessageId, n, p.refused)
	}
	return nil
}

// errTooLarge says that a message is refused for its size.
var errTooLarge = errors.New("it is too large")

// returned notes that the queue is missing that a message was published to.
func (p *publisher) returned(r *amqp.Return) {
	name := copyOf(r.Headers)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missing = true
	for _, pub := range p.pending {
		if copyOf(pub.msg.Headers) == name && pub.queue == r.RoutingKey {
			pub.unroutable = true
		}
	}
	p.wake()
}

// confirmed tells whom it concerns what the broker has done with a message.
func (p *publisher) confirmed(tag uint64, acked bool) {
	p.mu.Lock()
	pub := p.pending[tag]
	delete(p.pending, tag)
	var err error
	switch {
	case pub == nil:
	case pub.unroutable:
		err = fmt.Errorf("%w: %q; message %q is nowhere, send it again", ErrUnroutable, pub.queue, pub.msg.MessageId)
	case !acked:
		err = fmt.Errorf("%w: queue %q rejects message %q; it may be full (a policy's max-length)",
			ErrRefused, pub.queue, pub.msg.MessageId)
	default:
		p.largest = max(p.largest, len(pub.msg.Body))
	}
	idle := len(p.pending) == 0 || len(p.late) > 0 && len(p.pending) == maxLate/2
	p.mu.Unlock()
	if pub == nil {
		return
	}
	if idle {
		p.wake() // a suspect may wait for that, or those that come late
	}
	pub.then(err)
}

// again has what was pending published again when its channel has ended, and what has ended it refused, if the broker says that
// it was a message. It doesn't say which one.
func (p *publisher) again(said *amqp.Error) {
	p.mu.Lock()
	pending := make([]*publication, 0, len(p.pending))
	for _, pub := range p.pending {
		pub.unroutable = false
		pending = append(pending, pub)
	}
	clear(p.pending)
	slices.SortFunc(pending, func(a, b *publication) int { return cmp.Compare(a.tag, b.tag) })
	var guilty *publication
	if said != nil && said.Code == amqp.PreconditionFailed && len(pending) > 0 {
		if len(pending) == 1 {
			guilty, pending = pending[0], nil
			if n := len(guilty.msg.Body); n > p.largest {
				p.refused = n
			}
		} else {
			pending = p.accuse(pending)
		}
	}
	closed := p.closed
	if !closed {
		p.waiting = append(pending, p.waiting...)
	}
	p.mu.Unlock()
	if guilty != nil {
		guilty.then(fmt.Errorf("%w: %w: message %q has a payload of %d bytes: %w",
			ErrRefused, errTooLarge, guilty.msg.MessageId, len(guilty.msg.Body), said))
	}
	if closed {
		for _, pub := range pending {
			pub.then(ErrClosed)
		}
	}
}

// accuse marks those that may have made the broker close the channel: a payload is no suspect if a larger one was confirmed.
// They come last. It requires that mu is held.
func (p *publisher) accuse(pending []*publication) []*publication {
	any := slices.ContainsFunc(pending, func(pub *publication) bool { return len(pub.msg.Body) > p.largest })
	for _, pub := range pending {
		pub.suspect = !any || len(pub.msg.Body) > p.largest
	}
	slices.SortStableFunc(pending, func(a, b *publication) int {
		if a.suspect != b.suspect {
			if a.suspect {
				return 1
			}
			return -1
		}
		return cmp.Compare(len(a.msg.Body), len(b.msg.Body)) // one that is confirmed clears those that are smaller
	})
	return pending
}
