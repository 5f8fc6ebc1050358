package signpost_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/signpost-go/signpost"
)

// From a header of one's own to Standard Webhooks without a day on which some receivers can't verify: both are sent, until the last has moved.
func ExampleSigners() {
	legacy := signpost.HMACSigner("X-Shop-Signature", "", []byte("the secret of old"))
	standard, err := signpost.NewSigner(signpost.NewSecret())
	if err != nil {
		log.Fatal(err)
	}
	dispatcher, err := signpost.New(signpost.WithSigner(signpost.Signers(legacy, standard)))
	if err != nil {
		log.Fatal(err)
	}
	defer dispatcher.Close()

	// What a request then carries:
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	message := &signpost.Message{ID: "msg_1", Payload: []byte(`{}`)}
	if err := signpost.Signers(legacy, standard).Sign(req, message, time.Now()); err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"X-Shop-Signature", "webhook-id", "webhook-timestamp", "webhook-signature"} {
		fmt.Println(name, req.Header.Get(name) != "")
	}
	// Output:
	// X-Shop-Signature true
	// webhook-id true
	// webhook-timestamp true
	// webhook-signature true
}

// The plainest scheme: X-Signature with the hex HMAC-SHA256 of the body. A receiver computes the same with what its language has.
func ExampleHMACSigner() {
	signer := signpost.HMACSigner("X-Signature", "", []byte("key"))
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	message := &signpost.Message{Payload: []byte("The quick brown fox jumps over the lazy dog")}
	if err := signer.Sign(req, message, time.Now()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(req.Header.Get("X-Signature"))
	// Output: f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8
}

// A scheme that nobody else has, in one line.
func ExampleSignerFunc() {
	signer := signpost.SignerFunc(func(req *http.Request, m *signpost.Message, t time.Time) error {
		req.Header.Set("X-Delivery", fmt.Sprintf("%s/%d", m.ID, t.Unix()))
		return nil
	})
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	if err := signer.Sign(req, &signpost.Message{ID: "msg_1"}, time.Unix(1700000000, 0)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(req.Header.Get("X-Delivery"))
	// Output: msg_1/1700000000
}
