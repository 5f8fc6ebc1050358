package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/signal"
	"syscall"
	"time"

	"github.com/signpost-go/signpost"
)

// What a service does at SIGTERM: it stops, gives deliveries some seconds, and keeps what is left for the next start.
func ExampleDispatcher_Shutdown() {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable) // not today
	}))
	defer receiver.Close()
	tried := make(chan bool, 1)
	dispatcher, err := signpost.New(
		signpost.WithSecret(signpost.NewSecret().Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithLogger(slog.New(slog.DiscardHandler)),
		signpost.WithObserver(func(context.Context, *signpost.Message, signpost.Outcome) { tried <- true }),
	)
	if err != nil {
		log.Fatal(err)
	}

	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if _, err := dispatcher.Send(stop, receiver.URL, map[string]string{"type": "order.paid"}); err != nil {
		log.Fatal(err)
	}
	<-tried
	cancel() // in a real service: the signal
	<-stop.Done()

	grace, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond) // seconds, really; less than the orchestrator's
	defer cancel()
	var undelivered *signpost.UndeliveredError
	if err := dispatcher.Shutdown(grace); errors.As(err, &undelivered) {
		for _, m := range undelivered.Messages {
			fmt.Printf("keep %s, attempts so far: %d\n", m.Payload, m.Attempts) // and Enqueue it after the next start
		}
	}
	// Output: keep {"type":"order.paid"}, attempts so far: 1
}
