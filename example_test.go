package signpost_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/signpost-go/signpost"
)

// The whole way of a webhook: signed, sent, and verified by who receives it.
func Example() {
	secret := signpost.NewSecret().Reveal() // whsec_…, known to both sides
	receiver := newReceiver(secret)
	defer receiver.Close()

	// What README shows begins here.
	dispatcher, err := signpost.New(
		signpost.WithSecret(secret),
		signpost.WithAllowedNetworks("127.0.0.0/8"), // for this example: private addresses are closed by default
	)
	if err != nil {
		log.Fatal(err) // says everything that is wrong with the options
	}
	event := map[string]any{"type": "order.paid", "order": 42}
	if _, err := dispatcher.Send(context.Background(), receiver.URL, event); err != nil {
		log.Fatal(err) // nothing was queued, and why
	}
	if err := dispatcher.Shutdown(context.Background()); err != nil {
		log.Fatal(err) // what could not be delivered
	}
	// And ends here.

	// Output:
	// {"order":42,"type":"order.paid"}
}

// newReceiver starts a receiver that prints what it verifies.
func newReceiver(whsec string) *httptest.Server {
	secret, err := signpost.ParseSecret(whsec)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		log.Fatal(err)
	}
	return httptest.NewServer(verifier.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(string(body))
	})))
}
