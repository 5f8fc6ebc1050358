package kafka_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/kafka"
)

// A service with a queue at a Kafka cluster. Every instance of it does the same: whichever has room delivers, and what one of them has not
// delivered when it ends another one does.
func Example() {
	ctx := context.Background()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // a customer's
	defer receiver.Close()
	brokers, secret := strings.Split(os.Getenv("KAFKA_BROKERS"), ","), signpost.NewSecret().Reveal()
	ended := make(chan signpost.State, 1)
	report := func(_ context.Context, _ *signpost.Message, o signpost.Outcome) { ended <- o.State }

	queue, err := kafka.Open(ctx, brokers, kafka.WithPrefix("shop"))
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

// The Example has no output of its own to check, since it needs brokers.
func TestExample(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", strings.Join(kafka.SharedBrokers(t), ","))
	Example()
}
