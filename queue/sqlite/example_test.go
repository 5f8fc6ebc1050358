package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
	"github.com/signpost-go/signpost/signposttest"
)

// A service with a queue in a file: one line more than without. Webhooks that the service has accepted are delivered
// after the next start if it ends before.
func Example() {
	ctx := context.Background()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // a customer's
	defer receiver.Close()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, secret := filepath.Join(dir, "webhooks.db"), signpost.NewSecret().Reveal()
	ended := make(chan bool, 1)
	report := func(context.Context, *signpost.Message, signpost.Outcome) { ended <- true }

	// What README shows begins here.
	queue, err := sqlite.Open(ctx, file)
	if err != nil {
		log.Fatal(err) // another process has it, say
	}
	defer queue.Close()
	dispatcher, err := signpost.New(
		signpost.WithQueue(queue),
		signpost.WithSecret(secret),
		signpost.WithAllowedNetworks("127.0.0.0/8"), // for this example
		signpost.WithObserver(report),
	)
	// And ends here.
	if err != nil {
		log.Fatal(err)
	}
	if _, err := dispatcher.Send(ctx, receiver.URL, map[string]int{"order": 7}); err != nil {
		log.Fatal(err)
	}
	<-ended
	if err := dispatcher.Shutdown(ctx); err != nil { // before queue.Close
		log.Fatal(err)
	}

	for record, err := range queue.Messages(ctx, sqlite.Filter{}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, a := range record.Attempts {
			fmt.Printf("%s: %s, attempt %d: %d\n", record.Message.Payload, record.State, a.Number, a.StatusCode)
		}
	}
	// Output: {"order":7}: delivered, attempt 1: 200
}

// A customer's endpoint was gone for a while, and is back: what is dead is sent again.
func ExampleQueue_RedeliverAll() {
	ctx := context.Background()
	var mended atomic.Bool
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mended.Load() {
			http.Error(w, "no such hook", http.StatusGone)
		}
	}))
	defer receiver.Close()
	dir, err := os.MkdirTemp("", "shop")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	queue, err := sqlite.Open(ctx, filepath.Join(dir, "webhooks.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer queue.Close()

	// run delivers what is pending, as a service does while it runs.
	run := func(do func(*signpost.Dispatcher) error) {
		ended := make(chan bool, 1)
		dispatcher, err := signpost.New(
			signpost.WithQueue(queue),
			signpost.WithoutSigning(),
			signpost.WithAllowedNetworks("127.0.0.0/8"),
			signpost.WithLogger(slog.New(slog.DiscardHandler)),
			signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) { ended <- true }),
		)
		if err != nil {
			log.Fatal(err)
		}
		if err := do(dispatcher); err != nil {
			log.Fatal(err)
		}
		<-ended
		if err := dispatcher.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}
	run(func(d *signpost.Dispatcher) error {
		return d.Enqueue(ctx, &signpost.Message{ID: "msg_7", URL: receiver.URL, Payload: []byte(`{"order":7}`)})
	})
	for record, err := range queue.Messages(ctx, sqlite.Filter{State: sqlite.Dead}) {
		if err != nil {
			log.Fatal(err)
		}
		last := record.Attempts[len(record.Attempts)-1]
		fmt.Printf("%s is dead: %s: %s", record.Message.ID, record.Reason, last.Body)
	}

	mended.Store(true)
	run(func(*signpost.Dispatcher) error {
		n, err := queue.RedeliverAll(ctx, sqlite.Filter{State: sqlite.Dead, Host: "127.0.0.1"})
		fmt.Println("sent again:", n)
		return err
	})
	counts, err := queue.Counts(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("delivered:", counts.Delivered, "dead:", counts.Dead)
	// Output:
	// msg_7 is dead: signpost: endpoint is gone (410): no such hook
	// sent again: 1
	// delivered: 1 dead: 0
}

// What a service's test looks like, with a receiver that verifies signatures: the webhook outlives the first run.
func TestOutboxOutlivesTheService(t *testing.T) {
	r := signposttest.NewReceiver(t)
	path := filepath.Join(t.TempDir(), "webhooks.db")
	queue, err := sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	d, err := signpost.New(append(r.Options(), signpost.WithQueue(queue), signpost.WithWorkers(0))...) // it only takes in
	require.NoError(t, err)
	id, err := d.Send(t.Context(), r.URL+"/orders", map[string]int{"order": 7})
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.NoError(t, queue.Close())

	queue, err = sqlite.Open(t.Context(), path)
	require.NoError(t, err)
	d, err = signpost.New(append(r.Options(), signpost.WithQueue(queue))...)
	require.NoError(t, err)
	got := r.Wait(1)
	require.Equal(t, id, got[0].ID)
	require.JSONEq(t, `{"order": 7}`, string(got[0].Body))
	require.NoError(t, d.Shutdown(t.Context()))
	counts, err := queue.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, sqlite.Counts{Delivered: 1}, counts)
	require.NoError(t, queue.Close())
}
