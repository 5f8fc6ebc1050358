package rabbitmq_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/rabbitmq"
)

// A service with a queue at a broker. Every instance of it does the same: whichever has room delivers, and what one of them has not
// delivered when it ends another one does.
func Example() {
	ctx := context.Background()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // a customer's
	defer receiver.Close()
	url, secret := os.Getenv("AMQP_URL"), signpost.NewSecret().Reveal()
	ended := make(chan signpost.State, 1)
	report := func(_ context.Context, _ *signpost.Message, o signpost.Outcome) { ended <- o.State }

	// What README shows begins here.
	queue, err := rabbitmq.Open(ctx, url, rabbitmq.WithPrefix("shop"))
	if err != nil {
		log.Fatal(err)
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
	fmt.Println(<-ended)
	if err := dispatcher.Shutdown(ctx); err != nil { // before queue.Close
		log.Fatal(err)
	}
}

// The Example has no output of its own to check, since it needs a broker.
func TestExample(t *testing.T) {
	t.Setenv("AMQP_URL", rabbitmq.NewURL(t))
	Example()
}
