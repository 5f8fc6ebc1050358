package signpost_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/signpost-go/signpost"
)

// Every outcome is observed: here deaths are kept, to be looked at, or enqueued again when the receiver is mended.
func ExampleWithObserver() {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/closed" {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer receiver.Close()

	dead := make(chan *signpost.Message, 100) // in a real service: a table
	dispatcher, err := signpost.New(
		signpost.WithSecret(signpost.NewSecret().Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithLogger(slog.New(slog.DiscardHandler)),
		signpost.WithObserver(func(ctx context.Context, m *signpost.Message, o signpost.Outcome) {
			switch {
			case o.State == signpost.Delivered:
				fmt.Println("delivered", m.ID, "at attempt", o.Attempt.Number)
			case o.State == signpost.Dead && errors.Is(o.Reason, signpost.ErrGone):
				fmt.Println("gone", m.ID) // and unsubscribe the endpoint
			}
			if o.State == signpost.Dead {
				dead <- m
			}
		}),
	)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range []*signpost.Message{
		{ID: "msg_1", URL: receiver.URL + "/open", Payload: []byte(`{}`)},
		{ID: "msg_2", URL: receiver.URL + "/closed", Payload: []byte(`{}`)},
	} {
		if err := dispatcher.Enqueue(context.Background(), m); err != nil {
			log.Fatal(err)
		}
	}
	if err := dispatcher.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("kept", (<-dead).ID)
	// Unordered output:
	// delivered msg_1 at attempt 1
	// gone msg_2
	// kept msg_2
}
