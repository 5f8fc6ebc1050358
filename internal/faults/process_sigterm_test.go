package faults

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/ledger"
)

const (
	termVariable = "SIGNPOST_FAULTS_SIGTERM" // a termScene as JSON
	termHung     = 3                         // messages to endpoints that hang
	termWaiting  = 10                        // messages that wait for an hour
)

// A termScene is what the child needs to know.
type termScene struct {
	Secret            string
	Fine, Hung, Later string // URLs of receivers
}

// A termReport is what the child writes once it has ended its dispatcher.
type termReport struct {
	Delivered, Dead []string
	Accepted        []string
	HandedBack      []*signpost.Message
	Problems        []string // of its ledger
}

// sigterm is the parent: it has the receivers, and a second dispatcher for what the child hands back. The child's
// requests are in the child's ledger; here each has to verify and is counted.
func sigterm(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM that a process could send")
	}
	s := newScene(t, signpost.WithHeader("X-Second", "yes"))
	verifier, err := signpost.NewVerifier(s.secret)
	require.NoError(t, err)
	var mu sync.Mutex
	taken := map[string]int{}
	take := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		taken[r.Header.Get("Webhook-Id")]++
	})
	receiver := func(first http.HandlerFunc) (url string) {
		fromChild, fromHere := verifier.Handler(first), s.ledger.Handler(take)
		return serveScene(s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Second") == "" {
				fromChild.ServeHTTP(w, r)
			} else {
				fromHere.ServeHTTP(w, r)
			}
		}))
	}
	hung := newHold(t)
	setting, err := json.Marshal(termScene{
		Secret: s.secret.Reveal(),
		Fine:   receiver(take),
		Hung:   receiver(func(_ http.ResponseWriter, r *http.Request) { hung.wait(r.Context()) }),
		Later:  receiver(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }),
	})
	require.NoError(t, err)

	cmd := child(t, "sigterm", termVariable+"="+string(setting))
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	words := json.NewDecoder(stdout)
	var ready bool
	require.NoError(t, words.Decode(&ready))
	hung.has(termHung)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	var report termReport
	require.NoError(t, words.Decode(&report))
	io.Copy(io.Discard, stdout)
	require.NoError(t, cmd.Wait(), "the child exits with 0")

	require.Empty(t, report.Problems)
	assert.Empty(t, report.Dead)
	assert.Len(t, report.Accepted, len(report.Delivered)+len(report.HandedBack))
	attempts := map[int]int{}
	for _, m := range report.HandedBack {
		attempts[m.Attempts]++
		assert.NotContains(t, report.Delivered, m.ID, "delivered or handed back, not both")
	}
	assert.GreaterOrEqual(t, attempts[0], termHung, "an attempt that was cut off counts as not made")
	assert.Equal(t, termWaiting, attempts[1])
	mu.Lock()
	for _, id := range report.Delivered {
		assert.NotZero(t, taken[id], "delivered means that the receiver has it")
	}
	mu.Unlock()

	for _, m := range report.HandedBack {
		s.ledger.Accept(m.ID)
		require.NoError(t, s.d.Enqueue(ctx, m))
	}
	for _, m := range report.HandedBack {
		os := s.ends(m.ID)
		assert.Equal(t, signpost.Delivered, os[len(os)-1].State)
		assert.Equal(t, m.Attempts+1, os[0].Attempt.Number, "it goes on where it was")
	}
	s.toNeighbour(1)
	mu.Lock()
	defer mu.Unlock()
	for _, id := range report.Accepted {
		assert.NotZero(t, taken[id], "what was accepted has arrived, by the one dispatcher or the other")
	}
}

// sigtermChild is a service: it sends until it is told to stop, and then ends its dispatcher within a deadline.
func sigtermChild(t *testing.T) {
	stopping, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	var scene termScene
	require.NoError(t, json.Unmarshal([]byte(os.Getenv(termVariable)), &scene))
	secret, err := signpost.ParseSecret(scene.Secret)
	require.NoError(t, err)
	books := ledger.New(secret)
	outcomes := make(chan struct{}, 1)
	d, err := signpost.New(append(books.Options(),
		signpost.WithSecret(scene.Secret), signpost.WithAllowedNetworks("127.0.0.0/8"), quiet,
		signpost.WithTimeout(time.Hour),
		signpost.WithRetryPolicy(signpost.RetryPolicy{BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Hour) }}),
		signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) {
			select {
			case outcomes <- struct{}{}:
			default:
			}
		}))...)
	require.NoError(t, err)

	var report termReport
	send := func(url string) string {
		id, err := d.Send(stopping, url, []byte(`{}`))
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			return ""
		}
		books.Accept(id)
		report.Accepted = append(report.Accepted, id)
		return id
	}
	for i := range termHung {
		send(scene.Hung + "/" + string(rune('a'+i)))
	}
	for i := range termWaiting {
		send(scene.Later + "/" + string(rune('a'+i)))
	}
	words := json.NewEncoder(os.Stdout)
	ready := false
	for stopping.Err() == nil {
		id := send(scene.Fine)
		for stopping.Err() == nil && books.Last(id).State != signpost.Delivered {
			select {
			case <-outcomes:
			case <-stopping.Done():
			case <-time.After(patience):
				require.FailNow(t, "waited in vain for a delivery, or for SIGTERM")
			}
		}
		if s := d.Stats(); !ready && s.Waiting == termWaiting {
			ready = true
			require.NoError(t, words.Encode(ready))
		}
	}

	deadline, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	err = d.Shutdown(deadline)
	books.HandBack(err)
	var undelivered *signpost.UndeliveredError
	require.ErrorAs(t, err, &undelivered)
	report.HandedBack = undelivered.Messages
	for _, id := range report.Accepted {
		switch books.Last(id).State {
		case signpost.Delivered:
			report.Delivered = append(report.Delivered, id)
		case signpost.Dead:
			report.Dead = append(report.Dead, id)
		}
	}
	report.Problems = books.Problems()
	require.NoError(t, words.Encode(report))
}
