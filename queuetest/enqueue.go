package queuetest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/signpost-go/signpost"
)

// variety returns valid messages that differ in what a queue may get wrong.
func variety() []*signpost.Message {
	var msgs []*signpost.Message
	add := func(change func(m *signpost.Message)) {
		m := message(fmt.Sprintf("msg_%d", len(msgs)))
		change(m)
		msgs = append(msgs, m)
	}
	add(func(*signpost.Message) {})

	var printable []byte
	for c := byte('!'); c <= '~'; c++ {
		if c != '.' { // no ID has a dot
			printable = append(printable, c)
		}
	}
	for _, id := range []string{
		string(bytes.Repeat(printable, 3)[:255]), string(printable), `'";--\`, "%00%s%n", "*", "#", "a/../b", "$(id)",
		"case", "CASE", "prefix", "prefix_", "0", "00", "-1", "null",
	} {
		add(func(m *signpost.Message) { m.ID = id })
	}
	for _, url := range []string{
		"http://127.0.0.1:8080", "https://[2001:db8::1]:8443/", "https://bücher.example/ä?ö=ü&ö=%C3%BC#ß", "HTTPS://Example.COM./%2e%2E/a%2Fb?%00",
		"https://example.com/?" + strings.Repeat("long=1&", 400),
	} {
		add(func(m *signpost.Message) { m.URL = url })
	}
	for _, payload := range []string{
		"{}", "0", " \t\r\n{ \"a\" :\n1 } \n", `{"b":1,"a":2,"a":3}`, `1.0e+400`, `12345678901234567890.10`, `"\u0000\ud83d\ude00\/<>&"`,
		`"ä€😀` + "\u2028\u2029\ufeff\u202e\x7f" + `"`, "\"not UTF-8: \xff\xfe\xc3\x28\"", `'`, `"--';\"\\"`,
	} {
		add(func(m *signpost.Message) { m.Payload = []byte(payload) })
	}
	for _, header := range []http.Header{
		{}, {"X-One": {"1"}}, {"X-Many": {"b", "a", "b", "a,b", ""}, "X-Empty": {""}}, {"X-Tab": {"a\tb"}, "X-Quote": {`"',;=\`}},
		{"X-Utf8": {"ä€😀"}, "X-Latin1": {"\xe4\xf6\xfc"}}, {"X-Long": {strings.Repeat("long ", 800) + "end"}},
		// A queue on a broker may use such names for its own headers.
		{"Id": {"1"}, "Url": {"2"}, "Created-At": {"3"}, "Attempts": {"4"}, "Not-Before": {"5"}, "X-Death": {"6"}},
	} {
		add(func(m *signpost.Message) { m.Header = header })
	}
	for _, created := range []time.Time{
		time.Now().In(time.FixedZone("", 5*3600+45*60)), time.Now().Truncate(time.Millisecond).Add(999_999), time.Now().Add(-400 * 24 * time.Hour),
		time.Now().Add(time.Hour), time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC),
	} {
		add(func(m *signpost.Message) { m.CreatedAt = created })
	}
	for _, attempts := range []int{1, 7, 1000} {
		add(func(m *signpost.Message) { m.Attempts = attempts })
	}
	return msgs
}

// peculiar returns one message with much that a queue may get wrong.
func peculiar() *signpost.Message {
	return &signpost.Message{
		ID:        `msg_%'"\~`,
		URL:       "https://example.com/ä/%2F?b=1&a=%20#c",
		Payload:   []byte(" {\"a\" : \"ä\xff\\u0000\"}\n"),
		Header:    http.Header{"X-Many": {"b", "a", ""}, "Attempts": {"9"}},
		CreatedAt: time.Now().Add(-time.Hour),
		Attempts:  2,
	}
}

func keepsFields(s *session) {
	const demand = "Enqueue keeps ID, URL, payload, header, creation time to the millisecond, and attempts"
	msgs := variety()
	s.enqueue(msgs...)
	got := s.takeAll(len(msgs), demand)
	for _, want := range msgs {
		r, ok := got[want.ID]
		if !ok {
			s.t.Errorf("message %.40q did not come: %s", want.ID, demand)
			continue
		}
		s.same(r.Message(), want, demand)
		s.settle(r, delivered(want))
	}
	s.nothing("every message was delivered")
}

func keepsLargePayload(s *session) {
	m := message("msg_large")
	noise := make([]byte, 1<<20-len(`{"a":""}`))
	for i := range noise {
		noise[i] = 'a' + byte(rand.N(26))
	}
	m.Payload = fmt.Appendf(nil, `{"a":"%s"}`, noise)
	s.enqueue(m)
	r := s.takeOnly(m.ID, "a dispatcher enqueues payloads of 1 MiB by default")
	if !bytes.Equal(r.Message().Payload, m.Payload) {
		s.t.Errorf("a payload of %d bytes came back as other %d bytes: Enqueue keeps it byte for byte", len(m.Payload), len(r.Message().Payload))
	}
	s.settle(r, delivered(m))
}

// batch returns n messages with IDs that begin with prefix.
func batch(prefix string, n int) []*signpost.Message {
	msgs := make([]*signpost.Message, n)
	for i := range msgs {
		msgs[i] = message(fmt.Sprintf("%s_%d", prefix, i))
	}
	return msgs
}

func takesBatch(s *session) {
	msgs := batch("msg", 100)
	s.enqueue(msgs...)
	for _, r := range s.takeAll(len(msgs), "Enqueue takes over a batch, all or none") {
		s.settle(r, delivered(r.Message()))
	}
	s.nothing("each message of the batch was delivered")
}

func keepsCopies(s *session) {
	m := message("msg_mine")
	m.Header = http.Header{"X-Mine": {"1", "2"}}
	want := message("msg_mine")
	want.Header = m.Header.Clone()
	want.CreatedAt = m.CreatedAt
	s.enqueue(m)

	copy(m.Payload, `"changed"      `)
	m.Header["X-Mine"][0] = "changed"
	m.Header.Set("X-New", "changed")
	m.ID, m.URL, m.Attempts, m.CreatedAt = "msg_changed", "http://changed.example", 5, time.Now().Add(time.Hour)

	r := s.takeOnly(want.ID, "Enqueue keeps nothing of a message that the caller could change")
	s.same(r.Message(), want, "Enqueue keeps nothing of a message that the caller could change")
	s.settle(r, delivered(want))
}

func acceptsIDAgain(s *session) {
	const demand = "after an error of Enqueue the same IDs may be enqueued again, and then come at least once"
	m := message("msg_again")
	s.enqueue(m)
	s.enqueue(m)
	r := s.takeOnly(m.ID, demand)
	s.enqueue(m) // while it is leased
	s.settle(r, delivered(m))
	s.enqueue(m) // when it has ended

	twice := message("msg_twice")
	s.enqueue(twice, message("msg_between"), twice)
	came := map[string]bool{}
	for !came["msg_twice"] || !came["msg_between"] {
		r := s.take(demand)
		came[r.Message().ID] = true
		s.settle(r, delivered(r.Message()))
	}
	s.drain() // at least once: it may come as often as it was enqueued
	s.enqueue(message("msg_last"))
	s.settle(s.takeOnly("msg_last", "an ID that was enqueued twice blocks nothing"), delivered(m))
}

func enqueueCancelled(s *session) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m := message("msg_cancelled")
	demand := "Enqueue returned nil, if with a cancelled context, and so the message is received"
	if err := s.enqueueWith(ctx, m); err != nil {
		demand = "after an error of Enqueue the same IDs may be enqueued again, and then come at least once"
		s.enqueue(m)
	}
	if came := s.collect("msg_last", demand); came[m.ID] == 0 {
		s.t.Fatalf("message %q did not come: %s", m.ID, demand)
	}
}

// enqueueCutOff cancels Enqueue at some time of its work.
func enqueueCutOff(s *session) {
	const size = 25
	batches := make([][]*signpost.Message, 20)
	errs := make([]error, len(batches))
	for i := range batches {
		batches[i] = batch(fmt.Sprintf("msg_%d", i), size)
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(2*time.Millisecond))
		errs[i] = s.enqueueWith(ctx, batches[i]...)
		cancel()
	}
	came := s.collect("msg_last", "what Enqueue returned nil for is received")
	for i, msgs := range batches {
		n := 0
		for _, m := range msgs {
			n += min(1, came[m.ID])
		}
		switch {
		case n == size:
		case errs[i] == nil:
			s.t.Fatalf("%d of %d messages came: Enqueue returned nil, and so all of them are received", n, size)
		case n > 0 && !s.h.Partial:
			s.t.Fatalf("%d of %d messages came after Enqueue returned an error: it takes over all or none (Harness.Partial allows for less)", n, size)
		default:
			s.enqueue(msgs...)
		}
	}
	again := s.collect("msg_end", "what Enqueue returned nil for is received")
	for _, msgs := range batches {
		for _, m := range msgs {
			if came[m.ID]+again[m.ID] == 0 {
				s.t.Fatalf("message %q did not come: after an error of Enqueue the same IDs may be enqueued again, and then come at least once", m.ID)
			}
		}
	}
}
