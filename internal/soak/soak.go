package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

// A soak is one run.
//
// Its goroutines: a few that send, one that restarts the dispatcher, one that shows how it goes, and one that reads what
// the receivers' process tells. All but the last end before the last dispatcher is shut down.
type soak struct {
	config     config
	out        io.Writer // the table
	live       *statusLine
	child      *child
	secret     signpost.Secret
	ledger     *ledger.Ledger
	places     *places
	dispatcher atomic.Pointer[signpost.Dispatcher]
	begun      time.Time
	before     reading

	returned []*signpost.Message // handed back and not enqueued again. Only one goroutine at a time touches it

	tally      tally
	meter      meter
	alone      latencies // at calm places, each with a host of its own
	shared     latencies // … whose hosts have ill endpoints beside them
	lately     latencies // both, since the last status line
	lateness   latencies // of timers, for comparison: how long the machine lets a goroutine wait
	restarts   atomic.Int64
	handedBack atomic.Int64

	mu       sync.Mutex // protects the following field
	problems []string   // besides the ledger's
}

// newSoak starts the receivers. run must follow, and ends them.
func newSoak(c config, out, status io.Writer) (*soak, error) {
	s := &soak{config: c, out: out, secret: signpost.NewSecret(), live: newStatusLine(status, c.statusLine)}
	s.ledger = ledger.New(s.secret)
	var err error
	s.child, err = startChild(order{Hosts: c.hosts, Seed: c.seed, Secret: s.secret.Reveal(), Spell: int64(c.spell)}, status)
	if err != nil {
		return nil, err
	}
	s.begun = time.Now()
	s.places = newPlaces(s.child.book, c.calm, s.begun)
	return s, nil
}

// run sends until the time is over or sending is done, finishes what is under way, unless finishing is done, and returns
// the exit status.
func (s *soak) run(sending, finishing context.Context) int {
	heard := make(chan error, 1)
	go func() { heard <- s.child.listen(s.heed) }()
	s.before = readClean()
	d, err := s.newDispatcher()
	if err != nil {
		s.problem("New: %v", err)
		return s.judge(heard)
	}
	s.dispatcher.Store(d)

	sending, stop := context.WithTimeout(sending, s.config.duration)
	defer stop()
	var sendersAndRestarts, status sync.WaitGroup
	for i := range senders {
		sendersAndRestarts.Go(func() { s.send(sending, i) })
	}
	sendersAndRestarts.Go(func() { s.restartNowAndThen(sending) })
	showing, hide := context.WithCancel(context.Background())
	status.Go(func() { s.show(showing) })
	status.Go(func() { s.measureLateness(showing) })

	var ended error
	select {
	case <-sending.Done():
	case ended = <-heard:
		s.problem("the receivers' process has ended: %v", ended)
		heard = nil
		stop()
	}
	sendersAndRestarts.Wait()
	s.finish(finishing)
	hide()
	status.Wait()

	return s.judge(heard)
}

// finish lets the receivers recover and waits until all messages have ended.
func (s *soak) finish(ctx context.Context) {
	if err := s.child.recover(); err != nil {
		s.problem("the receivers don't recover: %v", err)
	}
	patience := s.config.maxAge + s.config.grace
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(s.returned) > 0 && deadline.Err() == nil {
		s.sendAgain()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-deadline.Done():
		}
	}
	left := len(s.shutdown(deadline, s.current())) + len(s.returned)
	if left > 0 && ctx.Err() == nil {
		s.problem("%d messages have not ended %v after the last was sent, though none may be older than %v", left, patience, s.config.maxAge)
	}
}

// heed enters what the receivers' process tells.
func (s *soak) heed(l line) {
	latency, counts := s.places.heed(l)
	if l.at == 0 {
		s.tally.changes.Add(1)
		return
	}
	var err error
	if !l.verified {
		err = errUnverified
	}
	if n := s.ledger.Arrived(l.id, err); n == 1 && counts {
		s.lately.add(latency)
		if s.places.all[l.place].alone {
			s.alone.add(latency)
		} else {
			s.shared.add(latency)
		}
	}
	if kinds[l.kind].handles && l.verified {
		s.ledger.Handle(l.id)
	}
}

var errUnverified = errors.New("the receiver says so")

func (s *soak) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// judge ends the receivers' process, shows the table and the verdict, and returns the exit status. heard gives word once
// all that the process tells was heard; nil: it has ended already.
func (s *soak) judge(heard <-chan error) int {
	took := time.Since(s.begun)
	after := readSettled(s.before)
	s.child.in.Close()
	if heard != nil {
		if err := <-heard; err != nil {
			s.problem("the receivers' process: %v", err)
		}
	}
	childCPU, err := s.child.end()
	if err != nil {
		s.problem("the receivers' process: %v", err)
	}
	problems := append(s.problems, s.ledger.Problems()...)
	s.ledger.Forget(0) // which is no memory of the library's, but what the last dispatcher still holds is
	last := s.current()
	if s.ledger.Balance().HandedBack > 0 {
		last, s.returned = nil, nil // it keeps what it has handed back
		s.dispatcher.Store(nil)
	}
	after.heap = readClean().heap
	runtime.KeepAlive(last)
	if heard != nil {
		problems = append(problems, growth(s.before, after)...)
	}
	s.report(took, after, childCPU)
	return s.verdict(problems)
}

// growth is what has grown and should not have.
func growth(before, after reading) (problems []string) {
	if most := 3*before.heap + 32<<20; after.heap > most {
		problems = append(problems, fmt.Sprintf("the heap has grown from %s to %s", mebibytes(before.heap), mebibytes(after.heap)))
	}
	if after.goroutines > before.goroutines {
		problems = append(problems, fmt.Sprintf("there were %d goroutines, and there are %d", before.goroutines, after.goroutines))
	}
	if after.files > before.files {
		problems = append(problems, fmt.Sprintf("there were %d open files, and there are %d", before.files, after.files))
	}
	return problems
}
