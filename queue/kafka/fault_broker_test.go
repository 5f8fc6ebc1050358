package kafka

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/broker"
)

// long has faults last as long as they may, and come more often.
var long = os.Getenv("SIGNPOST_LONG") != ""

// TestFault has brokers of its own, which its tests harm one after another.
func TestFault(t *testing.T) {
	for _, g := range faults {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			if isChild() {
				for _, f := range g.faults {
					t.Run(f.name, func(t *testing.T) { f.test(t, nil) })
				}
				return
			}
			s := newHarmed(t)
			for _, f := range g.faults {
				t.Run(f.name, func(t *testing.T) { f.test(t, s) })
			}
		})
	}
}

// A harmed broker is reached through a proxy.
type harmed struct {
	*broker.Server
	proxy   *proxy
	brokers []string
}

func newHarmed(t *testing.T) *harmed {
	p := newProxy(t)
	address := p.listener.Addr().String()
	s := ownBroker(t, map[string]string{
		"advertised.listeners":      "PLAINTEXT://" + address,
		"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "100", // so that it comes back sooner
	})
	p.serve(s.Address())
	return &harmed{Server: s, proxy: p, brokers: []string{address}}
}

type fault struct {
	name string
	test func(t *testing.T, s *harmed)
}

// faults are all of them, in groups that have a broker each.
var faults = []struct {
	name   string
	faults []fault
}{{"kills", []fault{
	{"the broker is killed while messages are published", killedDuringPublish},
	{"the broker is killed between a publish and its confirm", killedBeforeConfirm},
	{"the broker is killed while messages are delivered", killedDuringDelivery},
	{"the broker is killed while outcomes are settled", killedDuringSettle},
	{"the broker is killed while messages wait in a delay step", killedDuringDelay},
}}, {"outages", []fault{
	{"the broker is absent at the start", absentAtStart},
	{"the broker is absent for longer than a session", absentForLong},
	{"the broker is frozen", frozen},
}}, {"instances", []fault{
	{"an instance is killed with leases out", instanceKilled},
	{"instances come and go under load", rebalances},
	{"the topic is deleted", topicDeleted},
}}}

func kill(t testing.TB, s *harmed) {
	t.Helper()
	require.NoError(t, s.Kill())
}

func start(t testing.TB, s *harmed) {
	t.Helper()
	require.NoError(t, s.Start())
}

func killedDuringPublish(t *testing.T, s *harmed) {
	rounds := 1
	if long {
		rounds = 10
	}
	sc := newScene(t)
	d := sc.dispatcher(openQueue(t, s.brokers, newPrefix()))
	url := sc.receiver(ok)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var producing sync.WaitGroup
	producing.Go(func() { sc.produce(stop, d, "msg", url) })
	more := func() {
		before, _, _ := sc.counts()
		sc.until("messages are accepted and end", func(accepted, ended int) bool { return accepted > before+200 && ended > before })
	}
	more()
	for range rounds {
		kill(t, s)
		start(t, s)
		more()
	}
	cancel()
	producing.Wait()
	sc.allEnd()
	require.NoError(t, d.Close())
	sc.check()
}

// killedBeforeConfirm keeps the broker's answers to itself, so that what was published is there and nobody knows it.
func killedBeforeConfirm(t *testing.T, s *harmed) {
	p := s.proxy
	sc := newScene(t)
	d := sc.dispatcher(openQueue(t, s.brokers, newPrefix()))
	url := sc.receiver(ok)
	require.True(t, sc.enqueue(ctx, d, url, "msg_first"))
	sc.allEnd()
	p.mute.Store(true)
	var enqueued sync.WaitGroup
	for i := range 20 {
		enqueued.Go(func() { sc.enqueue(ctx, d, url, fmt.Sprintf("msg_%d", i)) })
	}
	before := p.dropped.Load()
	eventually(t, func() bool { return p.dropped.Load() > before+50 }, "the broker has answered")
	kill(t, s)
	p.cut()
	p.mute.Store(false)
	start(t, s)
	enqueued.Wait()
	sc.allEnd()
	require.NoError(t, d.Close())
	sc.check()
}

func killedDuringDelivery(t *testing.T, s *harmed) {
	sc := newScene(t)
	d := sc.dispatcher(openQueue(t, s.brokers, newPrefix()))
	var under sync.WaitGroup
	release := make(chan struct{})
	under.Add(4)
	once := make(chan struct{}, 4)
	url := sc.receiver(func(w http.ResponseWriter, r *http.Request) {
		select {
		case once <- struct{}{}:
			under.Done()
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	for i := range 200 {
		require.True(t, sc.enqueue(ctx, d, fmt.Sprintf("%s/%d", url, i%10), fmt.Sprintf("msg_%d", i)))
	}
	under.Wait() // attempts are in flight
	kill(t, s)
	close(release)
	start(t, s)
	sc.allEnd()
	require.NoError(t, d.Close())
	sc.check()
}

// killedDuringSettle settles leases with every outcome while the broker is killed. What Settle has returned nil for holds.
func killedDuringSettle(t *testing.T, s *harmed) {
	const n = 600
	q := openQueue(t, s.brokers, newPrefix())
	enqueue(t, q, messages("https://example.com/", "msg", n)...)
	var (
		mu      sync.Mutex
		settled = map[string]signpost.State{}
		due     = map[string]time.Time{}
		unsure  = map[string]bool{} // their lease was lost
		some    = make(chan struct{})
	)
	leases := make(chan signpost.Lease, n)
	for _, l := range take(t, q, n) {
		leases <- l
	}
	close(leases)
	var settlers sync.WaitGroup
	for range 8 {
		settlers.Go(func() {
			for l := range leases {
				at := time.Now().Add(time.Second + rand.N(time.Second))
				o := []signpost.Outcome{delivered, retrying(at), deferred(at), {State: signpost.Dead, Reason: signpost.ErrGone}}[rand.N(4)]
				within, cancel := context.WithTimeout(ctx, patience)
				err := l.Settle(within, o)
				cancel()
				mu.Lock()
				id := l.Message().ID
				if err == nil {
					settled[id], due[id] = o.State, at
				} else if assert.ErrorIs(t, err, signpost.ErrLeaseLost) {
					unsure[id] = true
				}
				if len(settled) == n/4 && err == nil {
					close(some)
				}
				mu.Unlock()
			}
		})
	}
	<-some
	kill(t, s)
	start(t, s)
	settlers.Wait()
	t.Logf("%d are settled, %d leases are lost", len(settled), len(unsure))
	came := map[string]bool{}
	want := map[string]bool{}
	for id := range unsure {
		want[id] = true
	}
	for id, state := range settled {
		if state == signpost.Retrying || state == signpost.Deferred {
			want[id] = true
		}
	}
	for len(came) < len(want) {
		l := receive(t, q)
		id := l.Message().ID
		require.True(t, want[id], "%s came back, after it was settled as %v", id, settled[id])
		if settled[id] != 0 {
			require.False(t, time.Now().Before(due[id]), "%s came too early", id)
		}
		if settled[id] == signpost.Retrying {
			require.Equal(t, 1, l.Message().Attempts)
		}
		came[id] = true
		settle(t, l, delivered)
	}
	drained(t, q)
}

func killedDuringDelay(t *testing.T, s *harmed) {
	const n = 100
	q := openQueue(t, s.brokers, newPrefix())
	enqueue(t, q, messages("https://example.com/", "msg", n)...)
	due := map[string]time.Time{}
	for id, l := range take(t, q, n) {
		due[id] = time.Now().Add(2*time.Second + rand.N(2*time.Second))
		settle(t, l, retrying(due[id]))
	}
	kill(t, s)
	start(t, s)
	for id, l := range take(t, q, n) {
		require.False(t, time.Now().Before(due[id]), "%s came too early", id)
		require.Equal(t, 1, l.Message().Attempts)
		settle(t, l, delivered)
	}
	drained(t, q)
}

func absentAtStart(t *testing.T, s *harmed) {
	kill(t, s)
	within, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	_, err := Open(within, s.brokers, WithLogger(quiet))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "last: ")

	opened := make(chan *Queue)
	go func() { opened <- openQueue(t, s.brokers, newPrefix()) }()
	start(t, s)
	q := <-opened
	enqueue(t, q, messageTo("https://example.com/", "msg_1"))
	settle(t, receive(t, q), delivered)
}

func absentForLong(t *testing.T, s *harmed) {
	absence := sessionTimeout + 2*time.Second
	if long {
		absence = time.Minute
	}
	sc := newScene(t)
	q := openQueue(t, s.brokers, newPrefix())
	d := sc.dispatcher(q)
	url := sc.receiver(func(w http.ResponseWriter, r *http.Request) {
		if rand.N(3) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var producing sync.WaitGroup
	producing.Go(func() { sc.produce(stop, d, "msg", url, url+"/other") })
	sc.until("messages end", func(_, ended int) bool { return ended > 100 })
	kill(t, s)
	within, done := context.WithTimeout(ctx, time.Second)
	assert.Error(t, q.Healthy(within))
	done()
	sleep(ctx, absence)
	start(t, s)
	_, before, _ := sc.counts()
	sc.until("messages end again", func(_, ended int) bool { return ended > before+100 })
	eventually(t, func() bool { return q.Healthy(ctx) == nil }, "it is healthy again")
	cancel()
	producing.Wait()
	sc.allEnd()
	require.NoError(t, d.Close())
	sc.check()
}

func frozen(t *testing.T, s *harmed) {
	sc := newScene(t)
	q := openQueue(t, s.brokers, newPrefix())
	other := openQueue(t, s.brokers, newPrefix())
	d := sc.dispatcher(q)
	url := sc.receiver(ok)
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var producing sync.WaitGroup
	producing.Go(func() { sc.produce(stop, d, "msg", url) })
	sc.until("messages end", func(_, ended int) bool { return ended > 100 })
	enqueue(t, other, messageTo("https://example.com/", "msg_1"))
	l := receive(t, other)

	require.NoError(t, s.Freeze())
	within, done := context.WithTimeout(ctx, 200*time.Millisecond)
	assert.Error(t, q.Healthy(within))
	assert.ErrorIs(t, other.Enqueue(within, messageTo("https://example.com/", "msg_2")), context.DeadlineExceeded)
	assert.ErrorIs(t, l.Settle(within, delivered), context.DeadlineExceeded)
	done()
	began := time.Now()
	require.NoError(t, other.Close())
	assert.Less(t, time.Since(began), closeTime+patience/2, "Close doesn't wait for ever")
	require.NoError(t, s.Thaw())

	_, before, _ := sc.counts()
	sc.until("messages end again", func(_, ended int) bool { return ended > before+100 })
	cancel()
	producing.Wait()
	sc.allEnd()
	require.NoError(t, d.Close())
	sc.check()
}
