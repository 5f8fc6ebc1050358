package signpost_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/signpost-go/signpost"
)

// The receiver's side: a handler that sees verified requests only, and remembers what it has handled, because a webhook may come twice.
func ExampleVerifier_Handler() {
	secret, err := signpost.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		log.Fatal(err)
	}
	handled := map[string]bool{} // in a real receiver: a unique key in the database, in the same transaction
	mux := http.NewServeMux()
	mux.Handle("POST /webhooks", verifier.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("webhook-id")
		if handled[id] {
			return
		}
		handled[id] = true
		event, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "can't read", http.StatusBadRequest)
			return
		}
		fmt.Printf("%s: %s\n", id, event)
	})))

	// What a sender does, to try it.
	signer, err := signpost.NewSigner(secret)
	if err != nil {
		log.Fatal(err)
	}
	message := &signpost.Message{ID: "msg_1", Payload: []byte(`{"type":"ping"}`)}
	post := func(body []byte) int {
		req := httptest.NewRequest(http.MethodPost, "/webhooks", bytes.NewReader(body))
		if err := signer.Sign(req, message, time.Now()); err != nil {
			log.Fatal(err)
		}
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, req)
		return rec.Code
	}
	fmt.Println(post(message.Payload))
	fmt.Println(post(message.Payload)) // again: accepted, and not handled twice
	fmt.Println(post([]byte(`{"type":"forged"}`)))
	// Output:
	// msg_1: {"type":"ping"}
	// 200
	// 200
	// 401
}
