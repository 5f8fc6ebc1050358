package queuetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// shortBeforeLong has messages with long waits stand before ones with short waits, which must not wait for them.
func shortBeforeLong(s *session) {
	waits := []time.Duration{time.Hour, 48 * time.Hour, time.Minute, 300 * time.Millisecond, 2 * time.Minute, 50 * time.Millisecond}
	msgs := batch("msg", len(waits))
	s.enqueue(msgs...)
	leases := s.takeAll(len(msgs), "what is enqueued is received")
	due := map[string]time.Time{} // of those that come soon
	for i, m := range msgs {
		at := in(waits[i])
		o := deferred(at)
		if i%2 == 0 {
			o = retrying(m, at)
		}
		s.settle(leases[m.ID], o)
		if waits[i] < time.Second {
			due[m.ID] = at
		}
	}
	for len(due) > 0 {
		r := s.take("a message comes when it is due, even if one with a longer wait went in before")
		at, ok := due[r.Message().ID]
		if !ok {
			s.t.Fatalf("message %q came: it isn't due for a long time", r.Message().ID)
		}
		s.onTime(r, at)
		delete(due, r.Message().ID)
		s.settle(r, delivered(r.Message()))
	}
	s.nothing("no other message is due for a long time")
}

// waitingComeWhenDue has thousands of messages wait for different times. One goroutine receives and looks at
// the clock, others settle, as in a dispatcher.
func waitingComeWhenDue(s *session) {
	const (
		n   = 2000
		far = 200 // of them aren't due for a long time
	)
	for i := range n / 100 {
		s.enqueue(batch(fmt.Sprintf("msg_%d", i), 100)...)
	}
	settlers := newSettlers(s, 16)
	retryAt := map[string]time.Time{}
	done := map[string]bool{}
	var (
		start time.Time     // when the first came
		all   time.Duration // how long it takes to receive and settle them all, judging by the first that came
	)
	for len(done) < n-far {
		r := s.take(fmt.Sprintf("a message comes when it is due; %d of %d did", len(done), n-far))
		id := r.Message().ID
		at, again := retryAt[id]
		switch {
		case !again:
			switch i := len(retryAt); {
			case i == 0:
				start = r.at
				at = in(time.Hour)
			case i < far:
				all = time.Since(start) * n / time.Duration(i)
				at = in(time.Hour)
			default: // the rest will have been here once by then, and there will be time to wait for those that came back
				rest := all * time.Duration(n-i) / n
				at = in(rest + 100*time.Millisecond + rand.N(max(time.Second, 2*all)))
			}
			retryAt[id] = at
			if len(retryAt)%2 == 0 {
				settlers.settle(r, retrying(r.Message(), at))
			} else {
				settlers.settle(r, deferred(at))
			}
			continue
		case done[id]:
			s.t.Fatalf("message %q came twice: nobody else receives it while the lease is out, or when it was delivered", id)
		case r.at.Before(at):
			s.t.Fatalf("message %q came %v before it was due: RetryAt may be rounded later, never earlier", id, at.Sub(r.at))
		}
		done[id] = true
		if other, ahead := settlers.longestDue(id, at); ahead > s.h.Late+100*time.Millisecond { // the order of neighbours is no matter
			s.t.Fatalf("message %q came before %q, which was due %v earlier: "+
				"what is due earlier comes earlier, to one endpoint, give or take Harness.Late (%v)", id, other, ahead, s.h.Late)
		}
		settlers.settle(r, delivered(r.Message()))
		if len(done) == (n-far)/2 {
			time.Sleep(400 * time.Millisecond) // so that many are due at the same time
		}
	}
	if err := await(s, "Settle", settlers.finish); err != nil {
		s.t.Fatal(err)
	}
	s.nothing("what was settled as Delivered never comes back, and the rest isn't due for a long time")
}

// settlers settle leases, several at a time, and know what waits since then.
type settlers struct {
	session *session
	busy    chan struct{} // holds a word for each call of Settle
	wg      sync.WaitGroup

	mu      sync.Mutex // protects the following fields
	err     error
	waiting map[string]time.Time // since when what was put back is there and due, by ID
	back    map[string]bool      // came back
}

func newSettlers(s *session, n int) *settlers {
	return &settlers{session: s, busy: make(chan struct{}, n), waiting: map[string]time.Time{}, back: map[string]bool{}}
}

// settle begins to settle a lease, as soon as few enough are being settled.
func (p *settlers) settle(l signpost.Lease, o signpost.Outcome) {
	await(p.session, "Settle", func() struct{} {
		p.busy <- struct{}{}
		return struct{}{}
	})
	p.wg.Go(func() {
		ctx, cancel := p.session.context()
		defer cancel()
		p.settled(l.Message().ID, o, l.Settle(ctx, o))
		<-p.busy
	})
}

func (p *settlers) settled(id string, o signpost.Outcome, err error) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		p.err = errors.Join(p.err, fmt.Errorf("call of Settle for %q as %v: %w: it must settle a lease that is out", id, o.State, err))
	case o.State != signpost.Delivered && !p.back[id]:
		p.waiting[id] = latest(o.RetryAt, now)
	}
}

// longestDue is told that the message with the given ID, due at the given time, came back. It returns the one
// among the others that has been due for the longest time, and how much longer than that.
func (p *settlers) longestDue(id string, at time.Time) (other string, ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.back[id] = true
	delete(p.waiting, id)
	for o, since := range p.waiting {
		if d := at.Sub(since); other == "" || d > ahead {
			other, ahead = o, d
		}
	}
	return other, ahead
}

// finish waits until all is settled and returns what went wrong.
func (p *settlers) finish() error {
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
