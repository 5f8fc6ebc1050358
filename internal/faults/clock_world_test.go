package faults

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

// A clockWorld is a scene in a synctest bubble, where days take moments: a dispatcher, receivers in memory that all
// answer as answer says, and the ledger, which must balance when the test ends.
type clockWorld struct {
	t      *testing.T
	d      *signpost.Dispatcher
	ledger *ledger.Ledger
	begin  time.Time

	mu     sync.Mutex // protects the following fields
	answer func(v *visit) clockReply
	visits []*visit
	counts map[string]int // visits by URL
	open   map[string]int // … that are not answered yet, by host, and over all ("")
	most   map[string]int
}

// A visit is a request at a receiver.
type visit struct {
	url, host string
	id        string
	timestamp string // webhook-timestamp
	at        time.Time
	before    int // visits to the same URL before
}

type clockReply struct {
	status     int // 0: 200
	err        error
	takes      time.Duration // negative: until the attempt's time is over
	deaf       bool          // what it takes it takes, though the attempt's time is over
	retryAfter string
}

func newClockWorld(t *testing.T, opts ...signpost.Option) *clockWorld {
	t.Helper()
	secret := signpost.NewSecret()
	w := &clockWorld{
		t: t, ledger: ledger.New(secret), begin: time.Now(),
		counts: make(map[string]int), open: make(map[string]int), most: make(map[string]int),
	}
	all := append([]signpost.Option{signpost.WithSecret(secret.Reveal()), quiet}, w.ledger.Options()...)
	d, err := signpost.New(append(append(all, inMemory(w.ledger, w.visit)), opts...)...)
	require.NoError(t, err)
	w.d = d
	t.Cleanup(func() {
		w.ledger.HandBack(d.Close())
		w.ledger.Check(t)
	})
	return w
}

// visit is the receivers' side of a round trip.
func (w *clockWorld) visit(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	v := &visit{
		url: req.URL.String(), host: req.URL.Host,
		id: req.Header.Get("Webhook-Id"), timestamp: req.Header.Get("Webhook-Timestamp"), at: time.Now(),
	}
	w.ledger.Arrive(req.Header, body)
	w.mu.Lock()
	v.before = w.counts[v.url]
	w.counts[v.url]++
	w.visits = append(w.visits, v)
	for _, key := range []string{v.host, ""} {
		w.open[key]++
		w.most[key] = max(w.most[key], w.open[key])
	}
	answer := w.answer
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.open[v.host]--
		w.open[""]--
		w.mu.Unlock()
	}()
	var r clockReply
	if answer != nil {
		r = answer(v)
	}
	if err := r.wait(req); err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}
	resp := &http.Response{StatusCode: r.status, Header: http.Header{}, Body: http.NoBody}
	if r.status == 0 {
		resp.StatusCode = 200
	}
	if resp.StatusCode < 300 {
		w.ledger.Handle(v.id)
	}
	if r.retryAfter != "" {
		resp.Header.Set("Retry-After", r.retryAfter)
	}
	return resp, nil
}

func (r clockReply) wait(req *http.Request) error {
	switch {
	case r.takes == 0:
		return nil
	case r.deaf:
		time.Sleep(r.takes)
		return req.Context().Err()
	case r.takes < 0:
		<-req.Context().Done()
		return req.Context().Err()
	}
	timer := time.NewTimer(r.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	}
}

func (w *clockWorld) set(answer func(v *visit) clockReply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

func (w *clockWorld) send(url string) (id string) {
	w.t.Helper()
	return w.enqueue(&signpost.Message{URL: url, Payload: []byte(`{"type":"order.paid","order":42}`)})
}

func (w *clockWorld) enqueue(m *signpost.Message) (id string) {
	w.t.Helper()
	require.NoError(w.t, w.d.Enqueue(ctx, m))
	w.ledger.Accept(m.ID)
	return m.ID
}

// to returns the visits that which says so far, in order.
func (w *clockWorld) to(which func(v *visit) bool) (vs []*visit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.visits {
		if which(v) {
			vs = append(vs, v)
		}
	}
	return vs
}

func (w *clockWorld) toHost(host string) []*visit {
	return w.to(func(v *visit) bool { return v.host == host })
}

// peak is how many visits were open at once, at a host or in all (""), since the last call for it.
func (w *clockWorld) peak(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.most[host]
	w.most[host] = w.open[host]
	return n
}

// withinLimit checks that visits kept a rate limit: so many a second, and so many at once.
func withinLimit(t *testing.T, vs []*visit, limit float64, burst int) {
	t.Helper()
	tokens := float64(burst)
	for i, v := range vs {
		if i > 0 {
			tokens = min(float64(burst), tokens+v.at.Sub(vs[i-1].at).Seconds()*limit)
		}
		if tokens--; tokens < -0.001 {
			assert.Fail(t, "too many at once", "visit %d at %v", i, v.at)
			return
		}
	}
}

// held is how many messages the dispatcher holds.
func (w *clockWorld) held() int {
	s := w.d.Stats()
	return s.Queued + s.Waiting + s.InFlight
}
