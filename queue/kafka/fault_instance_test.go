package kafka

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A childScene is what a child needs to know.
type childScene struct {
	Brokers []string
	Prefix  string
	N       int
}

// instanceKilled kills a process with leases out, some of them settled. Another instance finishes the others.
func instanceKilled(t *testing.T, s *harmed) {
	const n, ended = 200, 80
	if isChild() {
		is := setting[childScene](t)
		q := openQueue(t, is.Brokers, is.Prefix)
		settled := 0
		for _, l := range take(t, q, is.N) {
			if settled < ended {
				settled++
				settle(t, l, delivered)
				fmt.Fprintln(os.Stdout, "settled", l.Message().ID)
			}
		}
		fmt.Fprintln(os.Stdout, "ready")
		hang()
	}
	prefix := newPrefix()
	q := openQueue(t, s.brokers, prefix)
	for i := range n {
		enqueue(t, q, messageTo(fmt.Sprintf("https://h%d.example/", i%20), fmt.Sprintf("msg_%d", i)))
	}
	c := startChild(t, childScene{s.brokers, prefix, n})
	gone := map[string]bool{}
	for range ended {
		gone[c.hears("settled")] = true
	}
	c.hears("ready")
	c.kill()
	for id, l := range take(t, q, n-ended) {
		require.NotContains(t, gone, id, "it was settled")
		settle(t, l, delivered)
	}
	drained(t, q)
	nothing(t, q)
}

// rebalances has instances join and leave while messages are sent.
func rebalances(t *testing.T, s *harmed) {
	rounds := 3
	if long {
		rounds = 20
	}
	sc := newScene(t)
	prefix := newPrefix()
	first := sc.dispatcher(openQueue(t, s.brokers, prefix))
	var urls []string
	for range 6 {
		urls = append(urls, sc.receiver(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/3" && r.Header.Get("Webhook-Id")[0] == 'a' {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
	}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	var producing sync.WaitGroup
	producing.Go(func() { sc.produce(stop, first, "msg", urls...) })
	more := func() {
		_, before, _ := sc.counts()
		sc.until("messages end", func(_, ended int) bool { return ended > before+300 })
	}
	more()
	for range rounds {
		q := openQueue(t, s.brokers, prefix)
		d := sc.dispatcher(q)
		eventually(t, func() bool { return len(q.assigned()) > 0 }, "it has partitions")
		more()
		require.NoError(t, d.Close())
		require.NoError(t, q.Close())
		more()
	}
	cancel()
	producing.Wait()
	sc.allEnd()
	require.NoError(t, first.Close())
	sc.check()
}

// A lease whose partition has gone to another instance is lost, and no other one is.
func TestLeasesAtARebalance(t *testing.T) {
	const n = 120
	brokers, prefix := sharedBrokers(t), newPrefix()
	a := openQueue(t, brokers, prefix)
	for i := range n {
		enqueue(t, a, messageTo(fmt.Sprintf("https://h%d.example/", i%30), fmt.Sprintf("msg_%d", i)))
	}
	old := take(t, a, n)
	for _, l := range old {
		require.False(t, isLost(l), "it is out")
	}
	b := openQueue(t, brokers, prefix)
	ended := map[string]bool{}
	first := receive(t, b) // it has partitions now
	require.True(t, isLost(old[first.Message().ID]), "somebody else has it")
	require.False(t, isLost(first))
	settle(t, first, delivered)
	ended[first.Message().ID] = true
	lost := map[string]bool{}
	for id, l := range old {
		wasLost := isLost(l)
		switch err := l.Settle(ctx, delivered); {
		case err == nil:
			require.False(t, wasLost, "a lease that is lost stays so")
			require.False(t, isLost(l), "it is settled")
			require.NotContains(t, ended, id)
			ended[id] = true
		default:
			require.ErrorIs(t, err, signpost.ErrLeaseLost)
			require.True(t, isLost(l))
			lost[id] = true
		}
	}
	require.NotEmpty(t, lost)
	require.NotEmpty(t, ended)
	for len(ended) < n {
		l := receive(t, b)
		require.Contains(t, lost, l.Message().ID)
		require.NotContains(t, ended, l.Message().ID)
		settle(t, l, delivered)
		ended[l.Message().ID] = true
	}
	drained(t, b)
	nothing(t, a)
}

// isLost asks as a dispatcher does, before an attempt.
func isLost(l signpost.Lease) bool { return l.(signpost.RevocableLease).Lost() }

// When a queue is closed all leases are lost that are out, and no settled one is.
func TestLeasesOfAClosedQueue(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix())
	enqueue(t, q, messages("https://example.com/", "msg", 2)...)
	out, settled := receive(t, q), receive(t, q)
	settle(t, settled, delivered)
	require.False(t, isLost(out))
	require.NoError(t, q.Close())
	require.True(t, isLost(out))
	require.False(t, isLost(settled))
	require.ErrorIs(t, out.Settle(ctx, delivered), signpost.ErrLeaseLost)
}

// What is being settled when partitions are given up is committed before, or the lease is lost: the message never ends and
// comes again.
func TestSettleDuringARebalance(t *testing.T) {
	const n = 2000
	brokers, prefix := sharedBrokers(t), newPrefix()
	a := openQueue(t, brokers, prefix, WithPrefetch(n))
	for i := range n / 100 {
		enqueue(t, a, messages(fmt.Sprintf("https://h%d.example/", i), fmt.Sprintf("msg-%d", i), 100)...)
	}
	old := take(t, a, n)
	var mu sync.Mutex
	ended := map[string]bool{}
	lost := map[string]bool{}
	leases := make(chan signpost.Lease, n)
	for _, l := range old {
		leases <- l
	}
	close(leases)
	var settlers sync.WaitGroup
	begun := make(chan struct{})
	var count atomic.Int64
	for range 4 {
		settlers.Go(func() {
			for l := range leases {
				err := l.Settle(ctx, delivered)
				mu.Lock()
				if id := l.Message().ID; err == nil {
					ended[id] = true
				} else if assert.ErrorIs(t, err, signpost.ErrLeaseLost) {
					lost[id] = true
				}
				mu.Unlock()
				if count.Add(1) == 50 {
					close(begun)
				}
			}
		})
	}
	<-begun
	b := openQueue(t, brokers, prefix)
	joining, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan signpost.Lease, n)
	var receiver sync.WaitGroup
	receiver.Go(func() {
		for {
			l, err := b.Receive(joining)
			if err != nil {
				return
			}
			got <- l
		}
	})
	settlers.Wait()
	eventually(t, func() bool { return len(b.assigned()) > 0 }, "the other instance has partitions")
	t.Logf("%d settled, %d lost", len(ended), len(lost))
	for len(ended) < n {
		select {
		case l := <-got:
			id := l.Message().ID
			require.NotContains(t, ended, id, "it was settled")
			settle(t, l, delivered)
			ended[id] = true
		case <-time.After(patience):
			require.FailNow(t, "messages are missing", "%d of %d have ended", len(ended), n)
		}
	}
	cancel()
	receiver.Wait()
	drained(t, b)
}

func topicDeleted(t *testing.T, s *harmed) {
	prefix := newPrefix()
	q := openQueue(t, s.brokers, prefix)
	enqueue(t, q, messages("https://example.com/", "msg", 10)...)
	l := receive(t, q)
	_, err := q.admin.DeleteTopics(ctx, q.config.consumed()...)
	require.NoError(t, err)
	eventually(t, func() bool {
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		err := q.Enqueue(within, messageTo("https://example.com/", "msg_late"))
		return err != nil && !errors.Is(err, context.DeadlineExceeded)
	}, "Enqueue says that the topic is gone")
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = q.Enqueue(within, messageTo("https://example.com/", "msg_late"))
	assert.ErrorContains(t, err, "the topic was deleted; Open creates it")
	gone, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_ = l.Settle(gone, delivered) // whatever it returns, it returns
	require.NoError(t, q.Close())

	q = openQueue(t, s.brokers, prefix)
	enqueue(t, q, messageTo("https://example.com/", "msg_new"))
	l = receive(t, q)
	require.Equal(t, "msg_new", l.Message().ID)
	settle(t, l, delivered)
	nothing(t, q)
}
