package faults

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/rabbitmq"
)

var delivered = signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1, StatusCode: 200}}

// A record is a log.
type record struct {
	mu  sync.Mutex
	out strings.Builder
}

func newRecord() (*record, *slog.Logger) {
	r := &record{}
	return r, slog.New(slog.NewTextHandler(r, nil))
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(p)
}

func (r *record) count(s string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.out.String(), s)
}

// away is how long a broker is away: that long is the fault itself.
func away(d time.Duration) {
	if long {
		d *= 20
	}
	<-time.After(d)
}

func TestBrokerAbsentAtStart(t *testing.T) {
	s := newScene(t)
	require.NoError(t, s.server.Kill())
	started := false
	defer func() {
		if !started {
			assert.NoError(t, s.server.Start())
		}
	}()
	log, logger := newRecord()
	opened := make(chan *rabbitmq.Queue, 1)
	go func() {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		q, err := rabbitmq.Open(bounded, s.server.Address(), rabbitmq.WithPrefix(s.prefix), rabbitmq.WithLogger(logger))
		assert.NoError(t, err)
		opened <- q
	}()
	s.until("it is tried", func() bool { return log.count("can't be reached") == 1 })
	away(500 * time.Millisecond)
	require.NoError(t, s.server.Start())
	started = true
	q := <-opened
	require.NotNil(t, q)
	defer q.Close()
	assert.Equal(t, 1, log.count("WARN"), "once, and not for every try")
	d := s.dispatch(q, time.Second)
	s.produce(d, "m", 80)()
	s.until("every message ends", func() bool { return s.ended.Load() == 80 })
	d.Close()
	s.ledger.Check(t)
}

// The broker goes away under load and stays away for a while. What is sent meanwhile waits for it.
func TestBrokerAwayForAWhile(t *testing.T) {
	s := newScene(t)
	log, logger := newRecord()
	q := s.open(rabbitmq.WithLogger(logger))
	d := s.dispatch(q, time.Second)
	const n = 2000
	wait := s.produce(d, "m", n)
	s.until("the load goes on", func() bool { return s.ended.Load() >= 200 })
	require.NoError(t, s.server.Kill())
	s.until("it is noticed", func() bool { return q.Healthy(ctx) != nil })
	away(3 * time.Second)
	require.NoError(t, s.server.Start())
	wait()
	s.until("every message ends", func() bool { return s.ended.Load() >= n })
	s.until("it is healthy", func() bool { return q.Healthy(ctx) == nil })
	d.Close()
	s.ledger.Check(t)
	assert.Equal(t, 2, log.count("connection is lost"), "once for each connection")
	assert.Equal(t, 2, log.count("connected again"), "once for each connection")
	assert.Zero(t, log.count("guest:guest"))
}

// A broker that doesn't answer keeps nobody beyond their context, and Close not at all.
func TestBrokerFrozen(t *testing.T) {
	s := newScene(t)
	q := s.open()
	for i := range 2 {
		require.NoError(t, q.Enqueue(ctx, s.message(fmt.Sprint(i))))
	}
	var leases []signpost.Lease
	for range 2 {
		l, err := q.Receive(ctx)
		require.NoError(t, err)
		leases = append(leases, l)
	}
	require.NoError(t, s.server.Freeze())
	thawed := false
	defer func() {
		if !thawed {
			assert.NoError(t, s.server.Thaw())
		}
	}()
	begun := time.Now()
	bounded, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	m := s.message("waits")
	assert.ErrorIs(t, q.Enqueue(bounded, m), context.DeadlineExceeded)
	assert.ErrorIs(t, leases[0].Settle(bounded, signpost.Outcome{State: signpost.Deferred}), context.DeadlineExceeded)
	_, err := q.Consumers(bounded)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, q.Close())
	assert.Less(t, time.Since(begun), 15*time.Second)
	assert.ErrorIs(t, leases[1].Settle(ctx, delivered), signpost.ErrLeaseLost)
	require.NoError(t, s.server.Thaw())
	thawed = true
	q = s.open()
	came := map[string]bool{}
	for !came["0"] || !came["1"] {
		bounded, cancel := context.WithTimeout(ctx, patience)
		l, err := q.Receive(bounded)
		require.NoError(t, err)
		require.NoError(t, l.Settle(bounded, delivered))
		cancel()
		came[l.Message().ID] = true
	}
}

// With its memory alarm the broker takes no messages. Deliveries go on, and what is sent waits.
func TestMemoryAlarm(t *testing.T) {
	s := newScene(t)
	log, logger := newRecord()
	q := s.open(rabbitmq.WithLogger(logger))
	const n = 200
	var msgs []*signpost.Message
	for i := range n {
		msgs = append(msgs, s.message(fmt.Sprint(i)))
	}
	require.NoError(t, q.Enqueue(ctx, msgs...))
	_, err := s.server.Ctl("set_vm_memory_high_watermark", "0.0001")
	require.NoError(t, err)
	lifted := false
	lift := func() {
		if !lifted {
			lifted = true
			_, err := s.server.Ctl("set_vm_memory_high_watermark", "0.4")
			require.NoError(t, err)
		}
	}
	defer lift()
	sent := make(chan error, 1)
	go func() {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for log.count("takes no messages") == 0 { // the broker blocks a connection when it publishes
			if err := q.Enqueue(bounded, s.message("waits")); err != nil {
				sent <- err
				return
			}
		}
		sent <- q.Enqueue(bounded, s.message("last"))
	}()
	for range n {
		bounded, cancel := context.WithTimeout(ctx, patience)
		l, err := q.Receive(bounded)
		require.NoError(t, err)
		require.NoError(t, l.Settle(bounded, delivered), "acks go over another connection")
		cancel()
	}
	s.until("the broker blocks", func() bool { return log.count("takes no messages") == 1 })
	bounded, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, q.Enqueue(bounded, msgs[0]), context.DeadlineExceeded)
	select {
	case err := <-sent:
		assert.Fail(t, "it didn't wait", "%v", err)
	default:
	}
	lift()
	require.NoError(t, <-sent)
	assert.Equal(t, 1, log.count("takes messages again"))
}

const childVariable = "SIGNPOST_RABBITMQ_FAULTS_CHILD"

// An instance is killed with leases out: they go to another one, at once.
func TestInstanceKilledWithLeasesOut(t *testing.T) {
	if where := os.Getenv(childVariable); where != "" {
		holdLeases(t, where)
		return
	}
	s := newScene(t)
	q := s.open()
	const n = 100
	for i := range n {
		require.NoError(t, q.Enqueue(ctx, s.message(fmt.Sprint(i))))
		s.ledger.Accept(fmt.Sprint(i))
	}
	program, err := os.Executable()
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childVariable+"="+s.server.Address()+" "+s.prefix)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "holds" {
	}
	require.Equal(t, "holds", lines.Text())
	d := s.dispatch(q, time.Second)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	s.until("every message ends", func() bool { return s.ended.Load() == n })
	d.Close()
	s.ledger.Check(t)
}

func holdLeases(t *testing.T, where string) {
	url, prefix, _ := strings.Cut(where, " ")
	q, err := rabbitmq.Open(ctx, url, rabbitmq.WithPrefix(prefix), rabbitmq.WithLogger(quiet))
	require.NoError(t, err)
	for range 100 {
		_, err := q.Receive(ctx)
		require.NoError(t, err)
	}
	fmt.Println("holds")
	select {} // until it is killed
}

// The queue ready is down when messages have waited long enough, as it may be while the broker starts. They come when the
// broker tries again.
func TestTargetIsDownWhenMessagesAreDue(t *testing.T) {
	s := newScene(t)
	q := s.open()
	const n = 50
	for i := range n {
		require.NoError(t, q.Enqueue(ctx, s.message(fmt.Sprint(i))))
		l, err := q.Receive(ctx)
		require.NoError(t, err)
		require.NoError(t, l.Settle(ctx, signpost.Outcome{State: signpost.Deferred, RetryAt: time.Now().Add(2 * time.Second)}))
	}
	server := fmt.Sprintf("(quorum_queues, {'%%2F_%s.ready', node()}).", s.prefix)
	_, err := s.server.Ctl("eval", "ra:stop_server"+server)
	require.NoError(t, err)
	s.until("they are due", func() bool {
		out, err := s.server.Ctl("list_queues", "name", "messages_ready")
		return err == nil && strings.Contains(out, s.prefix+".delay.1s\t0")
	})
	_, err = s.server.Ctl("eval", "ra:restart_server"+server)
	require.NoError(t, err)
	came := map[string]bool{}
	for len(came) < n {
		bounded, cancel := context.WithTimeout(ctx, patience)
		l, err := q.Receive(bounded)
		if err != nil {
			s.explain(fmt.Sprintf("%d of %d came: %v", len(came), n, err))
		}
		require.NoError(t, l.Settle(bounded, delivered))
		cancel()
		assert.False(t, came[l.Message().ID], "message %s came twice", l.Message().ID)
		came[l.Message().ID] = true
	}
}
