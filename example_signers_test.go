package signpost_test

import (
	"fmt"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
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

// The schemes of well-known vendors, each in one line, for receivers that verify with those vendors' libraries.
func ExampleHeaderSigner() {
	type text = signpost.Text
	const now, body = signpost.UnixTime, signpost.Body
	header, hmac := signpost.HeaderSigner, signpost.HexHMAC

	key := []byte("shared with the receiver")
	secret, err := signpost.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		log.Fatal(err)
	}
	svix, err := signpost.NewPrefixedSigner("svix-", secret)
	if err != nil {
		log.Fatal(err)
	}
	for _, vendor := range []struct {
		name   string
		signer signpost.Signer
	}{
		{"Svix", svix},
		{"GitHub", signpost.HMACSigner("X-Hub-Signature-256", "sha256=", key)},
		{"Stripe", signpost.TimestampSigner("Stripe-Signature", key)},
		{"Shopify", header("X-Shopify-Hmac-Sha256", signpost.Base64HMAC(key, body))},
		{"Slack", signpost.Signers(
			header("X-Slack-Request-Timestamp", now),
			header("X-Slack-Signature", text("v0="), hmac(key, text("v0:"), now, text(":"), body)))},
		{"Paddle", header("Paddle-Signature", text("ts="), now, text(";h1="), hmac(key, now, text(":"), body))},
		{"plain", signpost.HMACSigner("X-Signature", "", key)},
	} {
		show(vendor.name, vendor.signer)
	}
	// Output:
	// Svix
	//   Svix-Id: msg_1
	//   Svix-Signature: v1,ZGruTt1kmeVgS1L6vkIcpIWEIdG/TLlxd9MAGkepMJY=
	//   Svix-Timestamp: 1700000000
	// GitHub
	//   X-Hub-Signature-256: sha256=ba3be73f4e108dd8471ac9e9f921d41f532700dbd476eb633e464361ae1e19ff
	// Stripe
	//   Stripe-Signature: t=1700000000,v1=ab98d2e7722d072059cc83c5e8b16a59ddbb9be54a2bc9fe91e6cc1c801c6215
	// Shopify
	//   X-Shopify-Hmac-Sha256: ujvnP04QjdhHGsnp+SHUH1MnANvUdutjPkZDYa4eGf8=
	// Slack
	//   X-Slack-Request-Timestamp: 1700000000
	//   X-Slack-Signature: v0=0b20014b3adcdd6a9c3670959041715b2d99f7ec83c168b170c75d0f7cdca383
	// Paddle
	//   Paddle-Signature: ts=1700000000;h1=1c17ebbd7a2fc44e497ea6b10881f203d8cee8b843df18bc2668767e99fc0dc0
	// plain
	//   X-Signature: ba3be73f4e108dd8471ac9e9f921d41f532700dbd476eb633e464361ae1e19ff
}

// show prints the headers that s adds.
func show(name string, s signpost.Signer) {
	fmt.Println(name)
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	message := &signpost.Message{ID: "msg_1", Payload: []byte(`{"type":"ping"}`)}
	if err := s.Sign(req, message, time.Unix(1700000000, 0)); err != nil {
		log.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(req.Header)) {
		fmt.Printf("  %s: %s\n", name, req.Header.Get(name))
	}
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
