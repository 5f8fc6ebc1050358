package signpost_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/signpost-go/signpost"
)

// A service that has a job engine already lets it queue and wait, and takes from signpost what is hard about a single attempt. work is what
// the engine calls; tries is how often it has called before.
func ExampleSender() {
	answers := []int{http.StatusServiceUnavailable, http.StatusOK}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(answers[0])
		answers = answers[1:]
	}))
	defer receiver.Close()
	sender, err := signpost.NewSender(
		signpost.WithSecret(signpost.NewSecret().Reveal()),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer sender.CloseIdleConnections()
	var policy signpost.RetryPolicy // the defaults
	work := func(ctx context.Context, id string, payload []byte, tries int) (again time.Duration, err error) {
		attempt := sender.Send(ctx, &signpost.Message{ID: id, URL: receiver.URL, Payload: payload, Attempts: tries})
		switch o := policy.Decide(attempt); o.State {
		case signpost.Retrying:
			return time.Until(o.RetryAt), nil
		case signpost.Dead:
			return 0, o.Reason
		}
		return 0, nil
	}

	again, err := work(context.Background(), "msg_1", []byte(`{}`), 0)
	fmt.Println("again in about 5 s:", again.Round(5*time.Second), err)
	again, err = work(context.Background(), "msg_1", []byte(`{}`), 1)
	fmt.Println("done:", again, err)
	// Output:
	// again in about 5 s: 5s <nil>
	// done: 0s <nil>
}
