package signpost

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost/internal/schedule"
)

// This file holds what all goroutines of a dispatcher share: its lock, its clock, its beginning and its end.
// What each of them does stands in worker.go, errands.go and receive.go.
//
// # Goroutines
//
//   - Workers: each makes one attempt at a time. Whoever finds a turn that nobody has taken (Send, a worker,
//     the clock) hands it to an idle worker or starts one. A worker ends after some idle seconds, on the
//     clock's word, or when ctx ends.
//   - The clock: started by New. It sleeps until the schedule's own next time and hands out the turns that
//     have come up. Ends with ctx.
//   - Errands: up to maxErrands, started when there is something to report that took no turn (expired and
//     gone messages), or something to settle that the queue refused or that goes back to it. Each ends when
//     no errand is left, or with ctx.
//   - With a Queue, the receiver: started by New, takes leases while the schedule has room. Ends when intake
//     does.
//   - With a HoldingQueue, the holder: started when there is something to be held back, or no longer. Ends when the
//     queue has been told, or with ctx.
//   - With a SharedQueue, the sharer: started by New, asks for the number of consumers. Ends with ctx.
//
// All of them are counted in wg; Shutdown returns after the last.
//
// # Locks
//
// mu is the only lock of a Dispatcher. It is never held across a channel operation, I/O, a log line or a
// user's function. Sender's locks are leaves: nothing is locked under them.
//
// # Shutdown
//
// closed is set: Send and the receiver take nothing in any more. When the schedule and the errands are empty,
// or a caller's time is over, ended is set: no turn is handed out any more; then ctx is cancelled, the
// goroutines end, and what is left is collected. At last every hold of a HoldingQueue is ended.

// A Dispatcher delivers messages: it owns a schedule of what is to be sent and a pool of workers that send it.
// Its methods are safe for concurrent use. [New] starts it; Shutdown or Close ends it, and every goroutine with it.
type Dispatcher struct {
	config *config
	sender *Sender
	holder HoldingQueue // nil: there is no queue, or it can't

	ctx    context.Context // ends when everything must
	cancel context.CancelFunc
	intake context.Context // of the receiver; ends when Shutdown begins
	stop   context.CancelFunc
	timer  *time.Timer    // wakes the clock
	wg     sync.WaitGroup // all goroutines
	room   chan struct{}  // tells the receiver that there may be room; holds one word

	drained  chan struct{} // closed when closed and nothing is pending any more
	finished chan struct{} // closed after the last goroutine
	result   error         // of Shutdown; written before finished is closed

	mu        sync.Mutex // protects the following fields
	schedule  *schedule.Schedule
	stats     Stats // only its counters
	idle      []*worker
	waiters   waiters
	errands   []errand // not begun
	running   int      // errand goroutines
	open      int      // errands not done
	told      int      // turns whose message has ended, while the queue and the observers are told
	retold    int      // … whose message will be retried
	buried    int      // messages in the schedule that have ended, while their errand runs
	wakeAt    time.Time
	left      []*delivery // cut off in flight
	closed    bool
	ended     bool
	isDrained bool
	hungry    bool // the receiver waits for room
	roomier   bool // there is more room than when the waiters were last looked at, or one more waiter
	enqueuing int  // calls of the queue's Enqueue
	telling   bool // the holder runs
}

// A delivery is a message in the schedule.
type delivery struct {
	item    schedule.Item
	message Message
	lease   Lease // nil in memory
}

// workerIdle is how long an idle worker is kept.
const workerIdle = 5 * time.Second

// New returns a running Dispatcher, or every problem that its options have. Shutdown or Close ends it.
func New(opts ...Option) (*Dispatcher, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	sender, err := newSender(c)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{
		config:   c,
		sender:   sender,
		timer:    time.NewTimer(time.Hour),
		room:     make(chan struct{}, 1),
		drained:  make(chan struct{}),
		finished: make(chan struct{}),
	}
	if c.workers > 0 {
		d.holder, _ = c.queue.(HoldingQueue)
	}
	d.schedule = schedule.New(schedule.Config{
		Workers: c.workers, Window: c.hostConcurrency, Messages: c.queueSize, Bytes: c.queueBytes,
		Limit: c.limit, Burst: c.burst, Holds: d.holder != nil,
	}, time.Now())
	d.timer.Stop()
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.intake, d.stop = context.WithCancel(d.ctx)
	d.wg.Go(d.clock)
	if c.queue == nil && c.workers == 0 {
		c.logger.Warn("signpost: no workers and no durable queue: messages wait until Shutdown hands them back")
	}
	if c.queue != nil && c.workers > 0 {
		d.wg.Go(d.receive)
		if q, ok := c.queue.(SharedQueue); ok && c.limit != rate.Inf {
			d.wg.Go(func() { d.share(q) })
		}
	}
	return d, nil
}

// Send queues payload for delivery to url and returns the message's ID. It does not wait for the delivery.
//
// A payload of type []byte or json.RawMessage must be a JSON document and is sent byte for byte; anything
// else is marshalled by encoding/json. What the caller does with it after Send has returned changes nothing.
// ctx bounds Send alone, not the delivery.
//
// Once Send has returned nil, the message ends in one reported state, Delivered or Dead, or Shutdown hands it
// back. An error means that nothing is queued: one that wraps [ErrInvalid], [ErrQueueFull], [ErrClosed],
// ctx's error, or a durable queue's; the last leaves it unknown whether the message was queued.
func (d *Dispatcher) Send(ctx context.Context, url string, payload any) (id string, err error) {
	body, err := marshal(payload)
	if err != nil {
		return "", err
	}
	dl := &delivery{message: Message{URL: url, Payload: body}}
	if err := d.enqueue(ctx, dl); err != nil {
		return "", err
	}
	return dl.message.ID, nil
}

// Enqueue is Send for a message with its own ID, headers or creation time. It fills in what m leaves empty.
// It keeps a copy: what the caller does with m afterwards changes nothing.
func (d *Dispatcher) Enqueue(ctx context.Context, m *Message) error {
	if m == nil {
		return invalid("message nil")
	}
	dl := &delivery{message: *m}
	dl.message.Payload = bytes.Clone(m.Payload)
	dl.message.Header = m.Header.Clone()
	err := d.enqueue(ctx, dl)
	if err == nil || d.config.queue != nil { // a queue that failed may have it: then the same ID may be enqueued again
		m.ID, m.CreatedAt = dl.message.ID, dl.message.CreatedAt
	}
	return err
}

// enqueue takes in a delivery whose message is the dispatcher's own.
func (d *Dispatcher) enqueue(ctx context.Context, dl *delivery) error {
	now := time.Now()
	to, err := d.sender.prepare(ctx, now, &dl.message)
	if err != nil {
		return err
	}
	if d.config.queue != nil {
		return d.enqueueDurably(ctx, &dl.message)
	}
	d.mu.Lock()
	switch {
	case d.closed:
		d.mu.Unlock()
		return ErrClosed
	case d.waiters.empty() && d.hasRoom(dl, to):
		d.stats.Accepted++
		d.add(now, dl, to)
		d.unlock(now)
		return nil
	case !d.config.backpressure:
		d.mu.Unlock()
		return ErrQueueFull
	}
	w := &waiter{delivery: dl, to: to, done: make(chan struct{})}
	d.waiters.push(w)
	d.roomier = true
	d.unlock(now) // which may admit it at once
	select {
	case <-w.done:
	case <-ctx.Done():
		d.mu.Lock()
		abandoned := d.waiters.remove(w)
		d.mu.Unlock()
		if abandoned {
			return ctx.Err()
		}
		<-w.done
	}
	return w.err
}

// enqueueDurably hands a message to the queue.
func (d *Dispatcher) enqueueDurably(ctx context.Context, m *Message) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	d.enqueuing++
	d.wg.Add(1) // Shutdown waits for it, so that the queue may be closed afterwards
	defer d.wg.Done()
	d.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	err := d.config.queue.Enqueue(ctx, m)

	d.mu.Lock()
	d.enqueuing--
	if err == nil {
		d.stats.Accepted++
	}
	d.unlock(time.Now())
	return err
}

// hasRoom requires that mu is held.
func (d *Dispatcher) hasRoom(dl *delivery, to *destination) bool {
	return d.schedule.Room(to.host, to.endpoint, int64(len(dl.message.Payload)))
}

// add puts a delivery into the schedule, due now. It requires that mu is held.
func (d *Dispatcher) add(now time.Time, dl *delivery, to *destination) {
	dl.item.Value = dl
	d.schedule.Add(now, &dl.item, schedule.Arrival{
		Host: to.host, Endpoint: to.endpoint, Size: int64(len(dl.message.Payload)), At: now, Deadline: d.deadline(now, &dl.message),
	})
}

// deadline is when m expires, counted on the monotonic clock from here on: a wall clock that is set meanwhile
// changes nothing.
func (d *Dispatcher) deadline(now time.Time, m *Message) time.Time {
	age := max(0, now.Sub(m.CreatedAt)) // what comes from the future is new
	return now.Add(d.config.policy.MaxAge - age)
}

// unlock ends a section under mu that may have changed what can be done: it hands out the turns and errands
// that there are now, lets in who waited for room, sets the clock, and unlocks. It requires that mu is held.
func (d *Dispatcher) unlock(now time.Time) {
	var turnsBuf [4]handOver
	turns := turnsBuf[:0]
	for dl := d.turn(now); dl != nil; dl = d.turn(now) {
		turns = append(turns, d.hire(dl))
	}
	for it := d.schedule.TakeExpired(now); it != nil; it = d.schedule.TakeExpired(now) {
		d.bury(it.Value.(*delivery), ErrExpired)
	}
	var admitted []*waiter
	if d.roomier && !d.waiters.empty() {
		admitted = d.admit(now)
		for dl := d.turn(now); dl != nil; dl = d.turn(now) {
			turns = append(turns, d.hire(dl))
		}
	}
	d.roomier = false
	start := 0
	for !d.ended && d.running < min(maxErrands, d.open) && start < len(d.errands) {
		d.running++
		d.wg.Add(1)
		start++
	}
	hold := d.schedule.HasHolds() && !d.telling && !d.ended
	if hold {
		d.telling = true
		d.wg.Add(1)
	}
	feed := d.hungry && d.mayReceive()
	if feed {
		d.hungry = false
	}
	drained := d.closed && !d.isDrained && d.schedule.Counts().Held() == 0 && d.open == 0 && d.enqueuing == 0
	if drained {
		d.isDrained = true
	}
	d.setClock(now)
	d.mu.Unlock()

	for _, t := range turns {
		if t.hired {
			go d.work(t.worker, t.delivery)
		} else {
			t.worker.turn <- t.delivery
		}
	}
	for range start {
		go d.runErrands()
	}
	if hold {
		go d.tellHolds()
	}
	for _, w := range admitted {
		close(w.done)
	}
	if feed {
		d.room <- struct{}{}
	}
	if drained {
		close(d.drained)
	}
}

// A handOver is a turn on its way to a worker.
type handOver struct {
	delivery *delivery
	worker   *worker
	hired    bool // the worker's goroutine is yet to be started
}

// turn takes the next turn from the schedule; nil if there is none. It requires that mu is held.
func (d *Dispatcher) turn(now time.Time) *delivery {
	if d.ended {
		return nil
	}
	it := d.schedule.Next(now)
	if it == nil {
		return nil
	}
	return it.Value.(*delivery)
}

// hire finds a worker for a turn: the one that has been idle for the shortest time, or a new one. The
// schedule gives no more turns than there may be workers. It requires that mu is held.
func (d *Dispatcher) hire(dl *delivery) handOver {
	if n := len(d.idle); n > 0 {
		w := d.idle[n-1]
		d.idle = d.idle[:n-1]
		return handOver{dl, w, false}
	}
	d.wg.Add(1)
	return handOver{dl, &worker{turn: make(chan *delivery, 1)}, true}
}

// admit lets in who waited for room, and returns them so that they can be told. It requires that mu is held.
func (d *Dispatcher) admit(now time.Time) (admitted []*waiter) {
	for !d.schedule.Full(0) {
		w := d.waiters.take(d.schedule.HostRoom, func(w *waiter) bool { return d.hasRoom(w.delivery, w.to) })
		if w == nil {
			break
		}
		d.stats.Accepted++
		d.add(now, w.delivery, w.to)
		admitted = append(admitted, w)
	}
	return admitted
}

// setClock lets the timer fire when there may be something to do. It requires that mu is held.
func (d *Dispatcher) setClock(now time.Time) {
	at := d.schedule.Wake()
	if len(d.idle) > 0 {
		if t := d.idle[0].since.Add(workerIdle); at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if !at.IsZero() && (d.wakeAt.IsZero() || at.Before(d.wakeAt)) {
		d.wakeAt = at
		d.timer.Reset(at.Sub(now))
	}
}

// clock hands out what time alone brings, and lets idle workers go.
func (d *Dispatcher) clock() {
	for {
		select {
		case <-d.timer.C:
			now := time.Now()
			d.mu.Lock()
			d.wakeAt = time.Time{}
			d.roomier = true // who failed may be forgotten, and may have more room
			n := 0
			for n < len(d.idle) && now.Sub(d.idle[n].since) >= workerIdle {
				n++
			}
			idle := slices.Clone(d.idle[:n])
			d.idle = slices.Delete(d.idle, 0, n)
			d.unlock(now)
			dismiss(idle)
		case <-d.ctx.Done():
			d.timer.Stop()
			d.mu.Lock()
			idle := d.idle
			d.idle = nil // and nobody becomes idle any more: ended is set
			d.mu.Unlock()
			dismiss(idle)
			return
		}
	}
}

func dismiss(idle []*worker) {
	for _, w := range idle {
		w.turn <- nil
	}
}

// Shutdown stops intake: from now on Send returns [ErrClosed]. It goes on delivering until nothing is
// pending, retries that wait for their time included, or ctx is done. Then it cancels what is in flight,
// waits for every goroutine, and returns.
//
// With an in-memory queue it returns an [*UndeliveredError] with every message that has not ended, or nil if
// all have. With a durable queue messages that have not ended stay there, their leases unsettled, and it
// returns nil; closing the queue is the caller's next step.
//
// Shutdown may be called several times, and by several goroutines at once: the first ctx that is done ends
// the dispatcher, and all calls return the same. It waits for the functions that it was given too: observers,
// signers, endpoint functions, transports and queues must return when their context is done. None of them may call
// Shutdown or Close: it would wait for itself.
func (d *Dispatcher) Shutdown(ctx context.Context) error {
	if ctx == nil {
		return invalid("context nil: use context.Background, or Close")
	}
	now := time.Now()
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	var refused []*waiter
	if first {
		refused = d.waiters.removeAll()
		for _, w := range refused {
			w.err = ErrClosed
		}
	}
	d.unlock(now)
	for _, w := range refused {
		close(w.done)
	}
	d.stop()
	if d.config.workers > 0 { // without workers there is nothing to wait for
		select {
		case <-d.drained:
		case <-d.finished:
		case <-ctx.Done():
		}
	}
	d.end()
	<-d.finished
	return d.result
}

// Close is Shutdown without waiting for deliveries: it cancels what is in flight and hands back what is pending.
func (d *Dispatcher) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return d.Shutdown(ctx)
}

// end stops everything and collects what is left. All calls but the first do nothing.
func (d *Dispatcher) end() {
	d.mu.Lock()
	again := d.ended
	d.ended = true
	d.mu.Unlock()
	if again {
		return
	}
	d.cancel()
	d.wg.Wait()
	d.sender.CloseIdleConnections()

	now := time.Now()
	d.mu.Lock()
	left := d.left
	for _, e := range d.errands { // in memory nobody was told yet
		left = append(left, e.delivery)
	}
	for _, it := range d.schedule.TakeAll(now) {
		left = append(left, it.Value.(*delivery))
	}
	for _, dl := range left {
		d.schedule.Remove(now, &dl.item)
	}
	d.left, d.errands, d.open = nil, nil, 0
	d.mu.Unlock()
	if d.config.queue == nil && len(left) > 0 {
		e := &UndeliveredError{Messages: make([]*Message, len(left))}
		for i, dl := range left {
			e.Messages[i] = &dl.message
		}
		slices.SortFunc(e.Messages, func(a, b *Message) int { return a.CreatedAt.Compare(b.CreatedAt) })
		d.result = e
	}
	if d.holder != nil {
		d.endHolds()
	}
	close(d.finished)
}
