package signpost_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func TestSharesOfAFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithQueueSize(300), signpost.WithTimeout(time.Minute))
		w.set(always(reply{takes: -1}))
		fill := func(url string) (n int) {
			for {
				if _, err := d.Send(ctx, url, []byte(`{}`)); err != nil {
					require.ErrorIs(t, err, signpost.ErrQueueFull)
					return n
				}
				n++
			}
		}
		one := fill("http://dead.example/1")
		assert.Equal(t, 200, one, "an endpoint holds twice the free room at most")
		assert.Equal(t, 240, one+fill("http://dead.example/2"), "a host four times")
		assert.Equal(t, 40, fill("http://dead2.example/"), "the next one twice what is left")
		assert.Positive(t, fill("http://alive.example/"))
		assert.Less(t, d.Stats().Queued+d.Stats().InFlight, 300)
		assert.EqualValues(t, 2*d.Stats().Accepted, d.Stats().Bytes)
	})
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithQueueBytes(1000), signpost.WithMaxPayload(1000))
		w.set(always(reply{takes: -1}))
		n := 0
		for i := range 1000 {
			if _, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/", i), make100()); err != nil {
				assert.ErrorIs(t, err, signpost.ErrQueueFull)
				break
			}
			n++
		}
		assert.Equal(t, 10, n)
		assert.EqualValues(t, 1000, d.Stats().Bytes)
	})
}

// Messages that have died keep their room until that is reported: a slow observer must not unbound the queue.
func TestQueueIsBoundedWhileDeathsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d, w, l := start(t, signpost.WithQueueSize(100), signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) { <-release }))
		w.set(always(reply{status: 410, takes: time.Second}))
		var ids []string
		for range 50 {
			for range 200 {
				if id, err := d.Send(ctx, "http://a.example/", 1); err == nil {
					ids = append(ids, id)
				}
			}
			time.Sleep(2 * time.Second)
			s := d.Stats()
			require.LessOrEqual(t, int(s.Accepted), 100)
			require.EqualValues(t, s.Accepted, s.Delivered+s.Dead+uint64(s.Queued+s.Waiting+s.InFlight))
		}
		close(release)
		require.NoError(t, d.Shutdown(ctx))
		l.check(t, ids...)
		assert.Zero(t, d.Stats().Bytes)
	})
}

func make100() []byte { return fmt.Appendf(nil, "%-100d", 1) }

func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, l := start(t, signpost.WithQueueSize(10), signpost.WithBackpressure(), signpost.WithRateLimit(rate.Inf, 0))
		w.set(always(reply{takes: time.Second}))
		results := make(chan string, 1000)
		for i := range 100 {
			go func() {
				id, err := d.Send(ctx, fmt.Sprintf("http://h%d.example/%d", i%3, i%7), []byte(`{}`))
				assert.NoError(t, err)
				results <- id
			}()
		}
		synctest.Wait()
		assert.LessOrEqual(t, d.Stats().Accepted, uint64(10))
		assert.GreaterOrEqual(t, d.Stats().Accepted, uint64(8))

		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_, err := d.Send(short, "http://h0.example/0", []byte(`{}`))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		var ids []string
		for range 100 {
			ids = append(ids, <-results)
		}
		require.NoError(t, d.Shutdown(ctx))
		l.check(t, ids...)
		assert.EqualValues(t, 100, d.Stats().Accepted, "whoever gave up was not accepted")
		assert.LessOrEqual(t, w.peak(""), 10)
	})
}

func TestBackpressureEndsWithTheDispatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithQueueSize(1), signpost.WithBackpressure())
		w.set(always(reply{takes: -1}))
		send(t, d, "http://a.example/")
		failed := make(chan error, 1)
		go func() {
			_, err := d.Send(ctx, "http://b.example/", []byte(`{}`))
			failed <- err
		}()
		synctest.Wait()
		var undelivered *signpost.UndeliveredError
		require.ErrorAs(t, d.Close(), &undelivered)
		assert.ErrorIs(t, <-failed, signpost.ErrClosed)
		assert.Len(t, undelivered.Messages, 1)
	})
}

// Who is refused because its receiver fails, of which nothing is in the queue any more, isn't refused for as long as that
// is remembered.
func TestRoomForAFailingReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithBackpressure(), signpost.WithQueueBytes(100), signpost.WithMaxPayload(100),
			signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 1}))
		w.set(always(reply{status: 500}))
		send(t, d, "http://a.example/")
		synctest.Wait()
		begin := time.Now()
		_, err := d.Send(ctx, "http://a.example/", []byte(`"`+strings.Repeat("x", 98)+`"`))
		require.NoError(t, err)
		assert.Zero(t, time.Since(begin))
	})
}

// A Send that waits because its receiver fails goes on when the receiver answers again, though nothing leaves the queue.
func TestBackpressureEndsWhenTheReceiverRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, w, _ := start(t, signpost.WithBackpressure(), signpost.WithQueueSize(8))
		w.set(func(r *request) reply {
			switch {
			case r.host == "a.example" && r.path == "/" && r.n == 0:
				return reply{err: io.ErrUnexpectedEOF}
			case r.host == "a.example" && r.path == "/":
				return reply{status: 404, retryAfter: "3600"} // the host is alive
			case r.host == "a.example":
				return reply{}
			}
			return reply{status: 503, retryAfter: "3600"}
		})
		send(t, d, "http://a.example/")
		for i := range 6 {
			send(t, d, fmt.Sprintf("http://b%d.example/", i))
		}
		synctest.Wait()
		begin := time.Now()
		_, err := d.Send(ctx, "http://a.example/new", []byte(`{}`))
		require.NoError(t, err)
		assert.Greater(t, time.Since(begin), time.Second, "the host fails, and there is room for one more message only")
		assert.Less(t, time.Since(begin), 10*time.Second)
	})
}
