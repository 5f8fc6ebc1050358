package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// kills are faults that end the process.
var kills = []fault{
	{"kill -9 at any moment",
		"What `Send` has accepted is delivered or dead in the end, or still pending in the file. What was reported stands, and is not " +
			"attempted again. An attempt that was cut off, or whose outcome was, is made again.", killAtAnyMoment},
	{"kill -9 while the file is created", "The next Open makes the file anew.", killFirstOpen},
	{"kill -9 at each system call of the first Open", "The same.", killFirstOpenAtEachCall},
	{"kill -9 at each system call that writes", "What was accepted comes back, and what was settled does not.", killAtEachCall},
}

// walLimit is the size of path-wal from which its pages are brought back into the file.
const walLimit = 4096 * 4096

// A killScene is what the children of killAtAnyMoment need to know.
type killScene struct {
	Path, Log, Secret string
	Run               int
	Hosts             []string // URLs
	Size              int      // bytes of a payload, about
	Drain             bool     // send nothing
}

// killAtAnyMoment has a service killed again and again, and takes stock of everything in the end.
func killAtAnyMoment(t *testing.T) {
	if isChild() {
		serve(t, setting[killScene](t))
		return
	}
	rounds := 104
	random := newRand(t)
	dir := t.TempDir()
	secret := signpost.NewSecret()
	var well atomic.Bool // all receivers are
	answers := []func(string) int{ok, ok, ok,
		func(string) int { return []int{200, 500}[rand.N(2)] },
		func(string) int { return http.StatusGone },
		func(string) int { return 0 },
	}
	s := killScene{Path: dir + "/queue.db", Log: dir + "/log", Secret: secret.Reveal()}
	var receivers []*receiver
	for _, answer := range answers {
		r := newReceiver(t, secret, func(id string) int {
			if well.Load() {
				return 200
			}
			return answer(id)
		})
		receivers = append(receivers, r)
		s.Hosts = append(s.Hosts, r.URL)
	}

	opening := 20 * time.Millisecond // how long Open has taken
	inOpen, inCheckpoint := 0, 0
	for s.Run = 1; s.Run <= rounds; s.Run++ {
		s.Size = 1000
		atCheckpoint := s.Run%21 == 0
		if atCheckpoint {
			s.Size = 400_000
		}
		c := newChild(t, s)
		c.start()
		c.hears("begins")
		begun := time.Now()
		if s.Run%4 == 0 {
			inOpen++
			pause(time.Duration(random.Int64N(int64(2 * opening))))
			c.kill()
			continue
		}
		c.hears("open")
		opening = time.Since(begun)
		if atCheckpoint && grows(s.Path+"-wal", walLimit) {
			inCheckpoint++
			pause(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		} else {
			pause(20*time.Millisecond + time.Duration(random.Int64N(int64(180*time.Millisecond))))
		}
		c.kill()
	}

	well.Store(true)
	s.Drain = true
	c := newChild(t, s)
	c.start()
	c.hears("open")
	db := openRaw(t, s.Path)
	drained(t, db)
	require.NoError(t, c.stdin.Close())
	c.passes()
	isSound(t, db)

	b := newBooks(t, s, secret, db)
	b.enter(receivers)
	balance := b.ledger.Balance()
	t.Logf("%d kills (%d while opening, %d at a checkpoint): %d accepted, %d more in the file, %d delivered, %d dead, %d attempts, "+
		"%d duplicates", rounds, inOpen, inCheckpoint, len(b.accepted), balance.Messages-len(b.accepted),
		balance.Delivered, balance.Dead, balance.Attempts, balance.Duplicates)
	b.ledger.Check(t)
	assert.Greater(t, len(b.accepted), rounds, "so that there is something to lose")
	assert.NotZero(t, balance.Dead)
}

// serve is the child: a service that sends without a pause until it is killed.
func serve(t *testing.T, s killScene) {
	log, err := os.OpenFile(s.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer log.Close()
	enter := func(format string, args ...any) { // in one write: a line is there as a whole or not at all
		_, err := fmt.Fprintf(log, format+"\n", args...)
		assert.NoError(t, err)
	}
	say("begins")
	q, err := sqlite.Open(ctx, s.Path, sqlite.WithLogger(quiet))
	require.NoError(t, err)
	secret, err := signpost.ParseSecret(s.Secret)
	require.NoError(t, err)
	timeout := 150 * time.Millisecond // so that who hangs is noticed in a short life
	if s.Drain {
		timeout = patience
	}
	d := newDispatcher(t, q, secret, signpost.WithTimeout(timeout),
		signpost.WithTransport(func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(req *http.Request) (*http.Response, error) {
				enter("begin %s %d", req.Header.Get("Webhook-Id"), time.Now().UnixMilli())
				return next.RoundTrip(req)
			})
		}),
		signpost.WithObserver(func(_ context.Context, m *signpost.Message, o signpost.Outcome) {
			enter("outcome %s %s %d", m.ID, strings.ToLower(o.State.String()), max(0, o.RetryAt.UnixMilli()))
		}))
	stopping, stop := context.WithCancel(ctx)
	obeyParent(stop)
	say("open")
	var producers sync.WaitGroup
	for p := range 8 {
		if s.Drain {
			break
		}
		producers.Go(func() {
			for n := 0; stopping.Err() == nil; n++ {
				id := fmt.Sprintf("r%d-p%d-n%d", s.Run, p, n)
				if d.Enqueue(stopping, newMessage(s.Hosts[rand.N(len(s.Hosts))], id, rand.N(2*s.Size))) == nil {
					enter("accepted %s", id)
				}
			}
		})
	}
	<-stopping.Done()
	producers.Wait()
	require.NoError(t, d.Close())
	require.NoError(t, q.Close())
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// pause lets a child live for a while. When it is killed is a matter of chance, and must be.
func pause(d time.Duration) { time.Sleep(d) }

// grows waits until a file has a size, for a while, and reports whether it has.
func grows(path string, size int64) bool {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() >= size {
			return true
		}
	}
	return false
}

// killFirstOpen kills a process that makes a file, at a random moment.
func killFirstOpen(t *testing.T) {
	if isChild() {
		obeyParent(func() { os.Exit(3) })
		say("begins")
		_, err := sqlite.Open(ctx, setting[string](t))
		require.NoError(t, err)
		say("open")
		select {} // until it is killed
	}
	random := newRand(t)
	opening := 20 * time.Millisecond
	for n := range 60 / min(slowness, 2) {
		path := newPath(t)
		c := newChild(t, path)
		c.start()
		c.hears("begins")
		begun := time.Now()
		if n%10 == 0 { // so that it is known how long it takes now
			c.hears("open")
			opening = time.Since(begun)
		} else {
			pause(time.Duration(random.Int64N(int64(opening))))
		}
		c.kill()
		opensAnew(t, path)
	}
}

// opensAnew opens what is left of a file that was about to be made.
func opensAnew(t *testing.T, path string) {
	t.Helper()
	q, err := sqlite.Open(ctx, path)
	require.NoError(t, err)
	works(t, q)
	require.NoError(t, q.Close())
	isSound(t, openRaw(t, path))
}
