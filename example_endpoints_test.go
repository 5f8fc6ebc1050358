package signpost_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/signpost-go/signpost"
)

// customers is what a service's database knows of its customers' endpoints.
type customers struct {
	mu      sync.Mutex
	secrets map[string][]signpost.Secret // by URL; the newest first, and the old one for as long as a rotation takes
}

func (c *customers) rotate(url string) signpost.Secret {
	c.mu.Lock()
	defer c.mu.Unlock()
	secret := signpost.NewSecret()
	c.secrets[url] = append([]signpost.Secret{secret}, c.secrets[url]...)[:min(2, len(c.secrets[url])+1)]
	return secret
}

// endpoint is asked before every attempt: a rotated secret counts at once, for retries too.
func (c *customers) endpoint(_ context.Context, url string) (signpost.Endpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var keys []signpost.Key
	for _, secret := range c.secrets[url] {
		keys = append(keys, secret)
	}
	if len(keys) == 0 {
		return signpost.Endpoint{Disabled: true}, nil // the customer has gone: what still waits is dead
	}
	signer, err := signpost.NewSigner(keys...)
	return signpost.Endpoint{Signer: signer}, err
}

// A secret for every customer, rotated without a webhook that one of both sides can't verify.
func ExampleWithEndpoints() {
	var verifier *signpost.Verifier // the customer's
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verifier.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fmt.Println("verified") })).ServeHTTP(w, r)
	}))
	defer receiver.Close()
	known := &customers{secrets: map[string][]signpost.Secret{}}

	dispatcher, err := signpost.New(
		signpost.WithoutSigning(), // every endpoint brings its own signer
		signpost.WithEndpoints(known.endpoint),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
	)
	if err != nil {
		log.Fatal(err)
	}
	old := known.rotate(receiver.URL)
	known.rotate(receiver.URL) // a new secret; the customer doesn't know it yet
	if verifier, err = signpost.NewVerifier(old); err != nil {
		log.Fatal(err)
	}
	if _, err := dispatcher.Send(context.Background(), receiver.URL, "signed with both"); err != nil {
		log.Fatal(err)
	}
	if err := dispatcher.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: verified
}
