package rabbitmq

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/signpost-go/signpost/internal/wire"
)

const (
	keepEvery = time.Second
	ageEvery  = 10 * time.Second // generations of what has ended here
)

// keepFresh is the keeper's goroutine. The broker closes a channel if a message that came on it isn't acknowledged for long
// (consumer_timeout: 30 minutes; https://www.rabbitmq.com/docs/consumers, "Acknowledgement Timeout"). So what has been here for
// some time is moved: what waits back to the broker, and what is leased into a queue from which only this instance takes.
func (q *Queue) keepFresh() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	aged := time.Now()
	for {
		select {
		case <-tick.C:
		case <-q.running.Done():
			return
		}
		now := time.Now()
		q.mu.Lock()
		q.loseStrays(now)
		q.renewOld(now)
		// While connections are lost nothing is forgotten: what has ended then comes again afterwards.
		if !q.whole.IsZero() && now.Sub(q.whole) > q.grace && now.Sub(aged) > ageEvery {
			aged = now
			q.recent.age()
		}
		q.mu.Unlock()
	}
}

// loseStrays ends leases whose messages didn't come again when the connection was made again: others have them. It requires
// that mu is held.
func (q *Queue) loseStrays(now time.Time) {
	if q.whole.IsZero() || now.Sub(q.whole) < q.grace {
		return
	}
	lost := false
	for e := range q.here {
		if e.state == leased && len(e.deliveries) == 0 && e.job == nil && now.Sub(e.alone) >= q.grace {
			q.lose(e)
			lost = true
		}
	}
	if lost {
		q.tell()
	}
}

// renewOld moves what has been here for long. It requires that mu is held.
func (q *Queue) renewOld(now time.Time) {
	old := false
	for e := range q.here {
		if len(e.deliveries) == 0 || now.Sub(e.deliveries[0].at) < q.renew {
			continue
		}
		switch {
		case e.state == leased && !e.renewing && e.job == nil && q.heldQueue != "":
			q.renewLease(e)
		case e.state == shelved:
			old = true
		}
	}
	if !old {
		return
	}
	var moved []*entry
	q.restock(func(e *entry) bool {
		if now.Sub(e.deliveries[0].at) < q.renew {
			return true
		}
		moved = append(moved, e)
		return false
	})
	for _, e := range moved {
		if until := q.shelf.HeldUntil(e.host, e.endpoint, now); !until.IsZero() {
			q.sendAway(e, until, now)
		} else {
			q.move(e, e.message, e.due)
		}
	}
}

// renewLease publishes a leased message to this instance's own queue, from which it comes back as a new delivery for the same
// lease; the old ones are acknowledged. It keeps its name, so that old and new are one to any instance, whichever of them
// come. It requires that mu is held.
func (q *Queue) renewLease(e *entry) {
	if e.copy == "" {
		e.copy = q.copies.next()
		q.known[e.copy] = e
	}
	msg, err := publishing(e.message, wire.Encode(e.message, e.due), e.copy)
	if err != nil {
		return // it has come, so it can be published
	}
	old := append([]delivery(nil), e.deliveries...)
	e.renewing = true
	q.publisher.submit(&publication{queue: q.heldQueue, msg: msg, then: func(err error) {
		q.mu.Lock()
		defer q.mu.Unlock()
		e.renewing = false
		if err != nil || e.state != leased {
			return // it is tried again; what comes late is known
		}
		kept := e.deliveries[:0]
		for _, d := range e.deliveries {
			if !contains(old, d) {
				kept = append(kept, d)
				continue
			}
			d.consumer.ack(d.tag, nil)
		}
		e.deliveries = kept
		if len(kept) == 0 {
			e.alone = time.Now()
		}
	}})
}

func contains(all []delivery, d delivery) bool {
	for _, other := range all {
		if other == d {
			return true
		}
	}
	return false
}

// keepHeld takes messages from a queue of this instance's own, from when a lease has become old.
func (in *intake) keepHeld(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for !in.hasOld() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
	for ctx.Err() == nil && !in.conn.IsClosed() {
		name, err := in.claim()
		if err == nil {
			err = in.consumeHeld(ctx, name)
		}
		if ctx.Err() != nil || in.conn.IsClosed() {
			return
		}
		in.logger.Warn("rabbitmq: queue for old leases doesn't work, will try again", "prefix", in.prefix, "err", err)
		if !sleep(ctx, keepEvery) {
			return
		}
	}
}

// claim finds a queue for old leases that no other instance has, and declares it. An instance has one as long as it has the
// exclusive queue beside it, which the broker deletes with its connection. Who claims the queue of one that is gone gets what
// that has left there.
func (in *intake) claim() (name string, err error) {
	if in.slot != "" { // it may have been deleted
		return in.slot, declareQueue(in.conn, in.slot, in.passing(in.reserve))
	}
	for slot := range maxSlots {
		name := in.held(slot)
		ch, err := in.conn.Channel()
		if err != nil {
			return "", err
		}
		_, err = ch.QueueDeclare(name+".owner", false, true, true, false, nil)
		var said *amqp.Error
		if errors.As(err, &said) && said.Code == amqp.ResourceLocked {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("rabbitmq: claim queue %q: %w", name, err)
		}
		if err := ch.Close(); err != nil {
			return "", err
		}
		if err := declareQueue(in.conn, name, in.passing(in.reserve)); err != nil {
			return "", err
		}
		in.slot = name
		return name, nil
	}
	return "", fmt.Errorf("rabbitmq: %d instances have queues for old leases already", maxSlots)
}

// maxSlots is more than there are instances.
const maxSlots = 1 << 16

// hasOld reports whether there is a lease about to become old.
func (q *Queue) hasOld() bool {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.heldQueue != "" {
		return true
	}
	for e := range q.here {
		if e.state == leased && len(e.deliveries) > 0 && now.Sub(e.deliveries[0].at) > q.renew*9/10 {
			return true
		}
	}
	return false
}

// setHeld sets where renewed messages go.
func (q *Queue) setHeld(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heldQueue = name
}

func rand128() string {
	var random [16]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}
