package signposttest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestReceiverAnswersInTurn(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t, Reply{Status: 500}, Reply{Cut: true}, Reply{Status: 302, Header: http.Header{"location": {"/elsewhere"}}})
	d, outcomes := newDispatcher(t, r.Options()...)

	begin := time.Now()
	id, err := d.Send(t.Context(), r.URL+"/orders?customer=1", map[string]int{"order": 7})
	require.NoError(t, err)

	got := r.Wait(4)
	require.Len(t, got, 4)
	for i, req := range got {
		assert.Equal(t, id, req.ID)
		assert.Equal(t, i+1, req.Attempt)
		assert.Equal(t, http.MethodPost, req.Method)
		assert.Equal(t, "/orders", req.URL.Path)
		assert.Equal(t, "customer=1", req.URL.RawQuery)
		assert.Equal(t, "application/json", req.Header.Get("Content-Type"))
		assert.JSONEq(t, `{"order": 7}`, string(req.Body))
		assert.False(t, req.Time.Before(begin))
		begin = req.Time
	}
	var codes []int
	for range got {
		codes = append(codes, (<-outcomes).Attempt.StatusCode)
	}
	assert.Equal(t, []int{500, 0, 302, 200}, codes)
	assert.Equal(t, got, r.Requests())
	assert.Equal(t, got[:2], r.Wait(2), "Wait gives the first ones, however many came")
	assert.Empty(t, r.Wait(0))
}

func TestRequestAttemptCountsByIDAndURL(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t)
	s := newSender(t, append(r.Options(), keepTransport(t))...)
	for _, m := range []signpost.Message{
		{ID: "a", URL: r.URL + "/1"}, {ID: "a", URL: r.URL + "/2"}, {ID: "a", URL: r.URL + "/2?x"}, {ID: "b", URL: r.URL + "/1"}, {ID: "a", URL: r.URL + "/1"},
	} {
		m.Payload = []byte(`{}`)
		require.Equal(t, 200, s.Send(t.Context(), &m).StatusCode)
	}
	var attempts []int
	for _, req := range r.Requests() {
		attempts = append(attempts, req.Attempt)
	}
	assert.Equal(t, []int{1, 1, 1, 1, 2}, attempts)
}

func TestReceiverKeepsConnections(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t, Reply{Status: 500, Body: "no"}, Reply{Cut: true})
	s := newSender(t, append(r.Options(), keepTransport(t))...)
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { reused = append(reused, c.Reused) },
	})
	for range 4 {
		s.Send(ctx, &signpost.Message{URL: r.URL, Payload: []byte(`{}`)})
	}
	assert.Equal(t, []bool{false, true, false, true}, reused, "only a cut ends a connection")
}

func TestReceiverUnderConcurrency(t *testing.T) {
	t.Parallel()
	const n = 200
	replies := make([]Reply, n/4)
	for i := range replies {
		replies[i].Status = 500
	}
	r := NewReceiver(t, replies...)
	d, outcomes := newDispatcher(t, r.Options()...)
	for i := range n {
		_, err := d.Send(t.Context(), fmt.Sprintf("%s/%d", r.URL, i), i)
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { assert.Len(t, r.Wait(i), i); assert.LessOrEqual(t, i, len(r.Requests())) })
	}
	wg.Wait()
	got := r.Wait(n + len(replies))
	retries, delivered := 0, 0
	for i, req := range got {
		if req.Attempt > 1 {
			retries++
		}
		if i > 0 {
			assert.False(t, req.Time.Before(got[i-1].Time))
		}
	}
	assert.Equal(t, len(replies), retries, "every reply is used once")
	for range got {
		if o := <-outcomes; o.State == signpost.Delivered {
			delivered++
		}
	}
	assert.Equal(t, n, delivered)
}

func TestReceiversShareADispatcher(t *testing.T) {
	t.Parallel()
	a, b := NewReceiver(t), NewReceiver(t)
	d, _ := newDispatcher(t, append(a.Options(), b.Options()...)...)
	for _, r := range []*Receiver{a, b} {
		_, err := d.Send(t.Context(), r.URL, 1)
		require.NoError(t, err)
		assert.Len(t, strings.Fields(r.Wait(1)[0].Header.Get("Webhook-Signature")), 2)
	}
}

func TestReceiverRefuses(t *testing.T) {
	t.Parallel()
	fake := &fakeT{deadline: time.Now().Add(time.Minute)}
	fake.run(func() {
		r := NewReceiver(fake, Reply{Status: 202})
		s := newSender(t, keepTransport(t), signpost.WithSecret(signpost.NewSecret().Reveal()), signpost.WithAllowedNetworks("127.0.0.0/8"))
		a := s.Send(t.Context(), &signpost.Message{ID: "msg_forged", URL: r.URL + "/orders?token=hush", Payload: []byte(`{}`)})
		assert.Equal(t, http.StatusUnauthorized, a.StatusCode)
		assert.Empty(t, r.Requests())
		if assert.Len(t, fake.failed(), 1) {
			assert.Contains(t, fake.failed()[0], `POST /orders, webhook-id "msg_forged": signpost: signature`)
			assert.Contains(t, fake.failed()[0], "Options")
			assert.NotContains(t, fake.failed()[0], "hush")
		}
		resp, err := http.Post(r.URL, "application/json", bytes.NewReader(make([]byte, maxBody+1)))
		if err == nil { // else the connection was closed before all of it was sent
			resp.Body.Close()
			assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
		}
		if assert.Len(t, fake.failed(), 2) {
			assert.Contains(t, fake.failed()[1], "larger than 16 MiB")
		}
		s = newSender(t, append(r.Options(), keepTransport(t))...)
		assert.Equal(t, 202, s.Send(t.Context(), &signpost.Message{URL: r.URL, Payload: []byte(`{}`)}).StatusCode, "what is refused uses up no reply")
		assert.Len(t, r.Wait(1), 1)
	})
	assert.Len(t, fake.failed(), 2)
}

func TestWaitSaysWhatCame(t *testing.T) {
	t.Parallel()
	fake := &fakeT{}
	var hung sync.WaitGroup
	fake.run(func() {
		r := NewReceiver(fake, Reply{Status: 500}, Reply{Cut: true}, Reply{Drip: time.Microsecond, Body: "x"}, Reply{Hang: true})
		s := newSender(t, append(r.Options(), keepTransport(t))...)
		for range 3 {
			s.Send(t.Context(), &signpost.Message{ID: "msg_1", URL: r.URL + "/orders?token=hush", Payload: []byte(`{}`)})
		}
		hung.Go(func() { s.Send(t.Context(), &signpost.Message{ID: "msg_2", URL: r.URL, Payload: []byte(`{}`)}) })
		r.Wait(4)
		resp, err := http.Get(r.URL + "/health")
		if assert.NoError(t, err) {
			resp.Body.Close()
		}

		fake.deadline = time.Now().Add(50 * time.Millisecond)
		r.Wait(5)
		assert.Fail(t, "Wait has returned")
	})
	hung.Wait()
	require.Len(t, fake.failed(), 2)
	assert.Regexp(t, strings.Join([]string{
		`^signposttest: Wait\(5\): 4 verified requests have come within \d+m?s:`,
		`	msg_1, attempt 1: POST /orders, answered 500`,
		`	msg_1, attempt 2: POST /orders, cut`,
		`	msg_1, attempt 3: POST /orders, answered 200, dripping`,
		`	msg_2, attempt 1: POST /, left hanging`,
		`not counted, because they didn't verify or weren't whole: 1:`,
		`	GET /health, webhook-id "": signpost: signature is missing or does not match: webhook-id "" is not usable$`,
	}, "\n"), fake.failed()[1])
}

func TestWaitInVain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wait func(*Receiver)
		want string
	}{
		"nothing comes": {func(r *Receiver) { r.Wait(1) }, `no verified request has come within \d+m?s; does the dispatcher have the Receiver's Options, and is it sent to http://127.0.0.1:\d+\?$`},
		"negative":      {func(r *Receiver) { r.Wait(-1) }, `Wait\(-1\): give the number of requests to wait for$`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeT{}
			fake.run(func() {
				r := NewReceiver(fake)
				fake.deadline = time.Now().Add(10 * time.Millisecond)
				test.wait(r)
			})
			require.Len(t, fake.failed(), 1)
			assert.Regexp(t, test.want, fake.failed()[0])
		})
	}
	t.Run("after the end", func(t *testing.T) {
		var r *Receiver
		fake := &fakeT{}
		fake.run(func() {
			fake.Cleanup(func() { (&fakeT{}).run(func() { r.Wait(1) }) }) // runs after the receiver's own
			r = NewReceiver(fake)
		})
		require.Len(t, fake.failed(), 1)
		assert.Contains(t, fake.failed()[0], "no verified request has come before the test ended")
	})
	t.Run("many lines", func(t *testing.T) {
		var b strings.Builder
		list(&b, strings.Split(strings.Repeat("x", maxLines+3), ""))
		assert.Equal(t, "\n\t… 3 earlier ones"+strings.Repeat("\n\tx", maxLines), b.String())
	})
}

// Not parallel, so that no other test's goroutines are there.
func TestReceiverLeavesNothing(t *testing.T) {
	begin := time.Now()
	fake := &fakeT{}
	var senders sync.WaitGroup
	var conn net.Conn
	fake.run(func() {
		r := NewReceiver(fake, Reply{}, Reply{Hang: true}, Reply{Drip: time.Hour}, Reply{Drip: time.Millisecond})
		s := newSender(t, append(r.Options(), signpost.WithTimeout(time.Minute), keepTransport(t))...)
		assert.Equal(t, 200, s.Send(t.Context(), &signpost.Message{URL: r.URL, Payload: []byte(`{}`)}).StatusCode)
		for range 3 {
			senders.Go(func() { s.Send(t.Context(), &signpost.Message{URL: r.URL, Payload: []byte(`{}`)}) })
		}
		r.Wait(4)

		conn = dial(t, r)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		_, err := conn.Read(make([]byte, 1)) // the receiver is reading the body now
		assert.NoError(t, err)
	})
	conn.Close()
	senders.Wait()
	assert.Less(t, time.Since(begin), 4*time.Second)
	assert.Empty(t, fake.failed(), "what breaks off doesn't fail the test")
	assert.Empty(t, leftovers())
}

func TestRequestsThatBreakOffDontCount(t *testing.T) {
	t.Parallel()
	fake := &fakeT{}
	fake.run(func() {
		r := NewReceiver(fake)
		conn := dial(t, r)
		fmt.Fprintf(conn, "POST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
		assert.NoError(t, conn.(*net.TCPConn).CloseWrite())
		conn.Read(make([]byte, 1)) // until the receiver has seen it
		conn.Close()
		fake.deadline = time.Now()
		r.Wait(1)
	})
	require.Len(t, fake.failed(), 1)
	assert.Contains(t, fake.failed()[0], `POST /half, webhook-id "": it broke off before its body had come: unexpected EOF`)
}

func dial(t *testing.T, r *Receiver) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Error(err)
		runtime.Goexit() // of the fake test
	}
	return conn
}
