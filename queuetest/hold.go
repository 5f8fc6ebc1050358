package queuetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/signpost-go/signpost"
)

// holding makes a check of what only a HoldingQueue does. Of others nothing is demanded.
func holding(run func(s *session, q signpost.HoldingQueue)) func(s *session) {
	return func(s *session) {
		if q, ok := s.queue.(signpost.HoldingQueue); ok {
			run(s, q)
		}
	}
}

// hold calls Hold.
func (s *session) hold(q signpost.HoldingQueue, key string, until time.Time) {
	s.t.Helper()
	await(s, "Hold", func() struct{} {
		q.Hold(key, until)
		return struct{}{}
	})
}

// goesTo returns a message to the given URL.
func goesTo(id, url string) *signpost.Message {
	m := message(id)
	m.URL = url
	return m
}

// takes takes the messages with the given IDs and no others, in any order, and settles them as Delivered.
func (s *session) takes(demand string, ids ...string) {
	s.t.Helper()
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	for len(want) > 0 {
		r := s.take(demand)
		id := r.Message().ID
		if !want[id] {
			s.t.Fatalf("message %q came: %s", id, demand)
		}
		delete(want, id)
		s.settle(r, delivered(r.Message()))
	}
}

func holdsHost(s *session, q signpost.HoldingQueue) {
	held := goesTo("msg_held", "https://example.com/a?key=1")
	s.enqueue(held, goesTo("msg_spelled", "HTTPS://Example.COM.:443/b"), goesTo("msg_other", "https://other.example.com/"),
		goesTo("msg_port", "https://example.com:8443/a"), goesTo("msg_http", "http://example.com/a"))
	s.hold(q, held.Host(), in(time.Hour))
	s.takes("while a host is held, what goes to others comes", "msg_other", "msg_port", "msg_http")
	s.nothing("while a host is held, nothing comes whose Message.Host it is")
	s.hold(q, held.Host(), time.Time{})
	s.takes("when a hold has ended, what was held back comes", "msg_held", "msg_spelled")
	s.nothing("every message was delivered")
}

func holdsEndpoint(s *session, q signpost.HoldingQueue) {
	const both = "a message comes when neither its host nor its endpoint is held"
	held := goesTo("msg_held", "https://example.com/a?key=1")
	s.enqueue(held, goesTo("msg_query", "https://EXAMPLE.com/a?key=2"), goesTo("msg_path", "https://example.com/a/b"),
		goesTo("msg_root", "https://example.com"))
	s.hold(q, held.Endpoint(), in(time.Hour))
	s.takes("while an endpoint is held, what goes to others of its host comes", "msg_path", "msg_root")
	s.nothing("while an endpoint is held, nothing comes whose Message.Endpoint it is")

	s.hold(q, held.Host(), in(time.Hour))
	s.enqueue(goesTo("msg_new", "https://example.com/new"))
	s.hold(q, held.Endpoint(), time.Time{})
	s.nothing(both)
	s.hold(q, held.Endpoint(), in(time.Hour))
	s.hold(q, held.Host(), time.Time{})
	s.takes(both, "msg_new")
	s.nothing(both)
	s.hold(q, held.Endpoint(), in(-time.Minute))
	s.takes("when a hold has ended, what was held back comes", "msg_held", "msg_query")
}

// holdsWhatComes has messages come to the queue, and come back to it, during a hold.
func holdsWhatComes(s *session, q signpost.HoldingQueue) {
	msgs := batch("msg", 4)
	s.enqueue(msgs...)
	leases := s.takeAll(len(msgs), "what is enqueued is received")
	s.hold(q, msgs[0].Host(), in(time.Hour))
	s.enqueue(message("msg_new"))
	s.nothing("a message that is enqueued during a hold is held back")

	s.settle(leases["msg_0"], delivered(msgs[0]))
	s.settle(leases["msg_1"], retrying(msgs[1], in(0)))
	s.settle(leases["msg_2"], deferred(in(0)))
	s.settle(leases["msg_3"], dead(msgs[3]))
	s.nothing("a message that comes back during a hold is held back")

	s.hold(q, msgs[0].Host(), time.Time{})
	const demand = "when a hold has ended, what was held back comes, with what its lease was settled as"
	for id, r := range s.takeAll(3, demand) {
		want := 0
		if id == "msg_1" {
			want = 1
		}
		if got := r.Message().Attempts; got != want {
			s.t.Errorf("message %q has %d attempts, not %d: %s", id, got, want, demand)
		}
		if id == "msg_0" || id == "msg_3" {
			s.t.Errorf("message %q came back: %s", id, demand)
		}
		s.settle(r, delivered(r.Message()))
	}
	s.nothing("every message was delivered")
}

func holdIsReplaced(s *session, q signpost.HoldingQueue) {
	const demand = "a later call for the same key replaces the earlier one"
	m := message("msg_held")
	s.enqueue(m)
	for _, key := range []string{m.Host(), m.Endpoint()} {
		s.hold(q, key, in(time.Hour))
		at := in(100 * time.Millisecond)
		s.hold(q, key, at)
		r := s.takeOnly(m.ID, demand)
		s.heldUntil(r, at)

		s.hold(q, key, in(100*time.Millisecond))
		s.hold(q, key, in(time.Hour))
		s.settle(r, deferred(in(0)))
		time.Sleep(100 * time.Millisecond)
		s.nothing(demand)
		s.hold(q, key, time.Time{})
	}
	s.takes("when a hold has ended, what was held back comes", m.ID)
}

// heldUntil makes sure that r came neither before its hold was over nor much later.
func (s *session) heldUntil(r receipt, until time.Time) {
	s.t.Helper()
	late := r.at.Sub(until)
	if late < 0 {
		s.t.Errorf("message %q came %v before its hold was over: no Receive that is called after Hold gives it earlier", r.Message().ID, -late)
	}
	if limit := s.h.Late + s.slack; late > limit {
		s.t.Errorf("message %q came %v after its hold was over: Harness.Late allows %v, and a busy machine %v more",
			r.Message().ID, late, s.h.Late, s.slack)
	}
}

// holdPasses lets the time of a hold pass, and of one that is shorter than what a message waits for anyway.
func holdPasses(s *session, q signpost.HoldingQueue) {
	const demand = "a message comes when its hold is over and it is due"
	m := message("msg_held")
	s.enqueue(m)
	r := s.takeOnly(m.ID, "what is enqueued is received")
	for _, key := range []string{m.Host(), m.Endpoint()} {
		until := in(200 * time.Millisecond)
		s.hold(q, key, until)
		s.settle(r, deferred(in(20*time.Millisecond)))
		r = s.finishReceive(s.startReceive(), demand)
		s.heldUntil(r, until)

		at := in(200 * time.Millisecond)
		s.hold(q, key, in(20*time.Millisecond))
		s.settle(r, deferred(at))
		r = s.takeOnly(m.ID, demand)
		s.onTime(r, at)
	}
	s.settle(r, delivered(m))
}

// holdEnds ends holds while a Receive waits.
func holdEnds(s *session, q signpost.HoldingQueue) {
	m := message("msg_held")
	s.enqueue(m)
	for _, key := range []string{m.Host(), m.Endpoint()} {
		for _, end := range []time.Time{{}, time.Unix(0, 0), in(-time.Second)} {
			s.hold(q, key, in(time.Hour))
			came := s.startReceive()
			s.letWait()
			start := time.Now()
			s.hold(q, key, end)
			r := s.finishReceive(came, "a time that is past ends a hold, for a Receive that waits too")
			s.heldUntil(r, start)
			s.settle(r, deferred(in(0)))
		}
	}
	s.takes("when a hold has ended, what was held back comes", m.ID)
}

func holdsAreForgotten(s *session, q signpost.HoldingQueue) {
	m := message("msg_held")
	s.enqueue(m)
	s.hold(q, m.Host(), in(time.Hour))
	s.hold(q, m.Endpoint(), in(time.Hour))
	s.nothing("nothing comes while its host and its endpoint are held")
	s.close()
	s.hold(q, m.Host(), in(time.Hour)) // does nothing
	s.open()
	opened := time.Now()
	r := s.takeOnly(m.ID, "no hold outlives its queue")
	s.heldUntil(r, opened)
	s.settle(r, delivered(m))
}

// loadSurvivesHolds holds back everything now and then.
func loadSurvivesHolds(s *session, q signpost.HoldingQueue) {
	m := message("")
	s.load(50, func(ctx context.Context) {
		for i := 0; ctx.Err() == nil; i++ {
			key := []string{m.Host(), m.Endpoint(), fmt.Sprintf("h%d.example:443", i%100)}[i%3]
			q.Hold(key, in(rand.N(5*time.Millisecond)))
			if i%2 == 0 {
				time.Sleep(rand.N(time.Millisecond))
				q.Hold(key, time.Time{})
			} else {
				time.Sleep(rand.N(5*time.Millisecond) + s.h.Late)
			}
		}
	})
}
