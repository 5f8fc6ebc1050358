package signpost_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/signpost-go/signpost"
)

// The figures come from OpenSSL: openssl dgst -sha256 -hmac.
func TestOtherSchemes(t *testing.T) {
	m := &signpost.Message{ID: "id", Payload: []byte("Hello, World!")}
	at := time.Unix(1700000000, 0)
	// GitHub documents this very example.
	const github = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	secret := []byte("It's a Secret to Everybody")

	h := signed(t, signpost.HMACSigner("X-Hub-Signature-256", "sha256=", secret), m, at)
	assert.Equal(t, "sha256="+github, h.Get("X-Hub-Signature-256"))

	h = signed(t, signpost.HMACSigner("x-signature", "", secret), m, at)
	assert.Equal(t, github, h.Get("X-Signature"))

	h = signed(t, signpost.TimestampSigner("Stripe-Signature", []byte("whsec_test"), []byte("old")), m, at)
	assert.Equal(t, "t=1700000000,v1="+stripeNew+",v1="+stripeOld, h.Get("Stripe-Signature"))

	type text = signpost.Text
	const body, id, now = signpost.Body, signpost.MessageID, signpost.UnixTime
	h = signed(t, signpost.HeaderSigner("x-all", text("a="), id, text(";b="), now, text(";c="), signpost.Base64HMAC(secret, body),
		text(";d="), signpost.HexHMAC(secret, text("Hello,"), text(" World!"), body)), m, at)
	assert.Equal(t, "a=id;b=1700000000;c=dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=;d="+twice, h.Get("X-All"))

	both := signpost.Signers(
		signpost.HMACSigner("X-Signature", "", secret),
		signpost.SignerFunc(func(req *http.Request, m *signpost.Message, _ time.Time) error {
			req.Header.Set("X-Id", m.ID)
			return nil
		}),
	)
	h = signed(t, both, m, at)
	assert.Equal(t, github, h.Get("X-Signature"))
	assert.Equal(t, "id", h.Get("X-Id"))
}

const (
	stripeNew = "9b64b918f37ca5fb33099695075545cf7cfc0c5ce3cc3c477dd00e1d98be4a62"
	twice     = "ff40d105defa80dc2abd5a4e923deaa83a86d7b908fe840428f33924be48c255"
	stripeOld = "0a467f63572560ea2fd282999de0d03bc26ca8cf2f76cd068e10e327c1cbc195"
)

// A header that signs nothing never replaces a signature of the same name.
func TestNoHeaderReplacesASignature(t *testing.T) {
	s := signpost.Signers(
		signpost.HMACSigner("X-Signature", "", []byte("secret")),
		signpost.HeaderSigner("x-signature", signpost.UnixTime),
	)
	_, err := signpost.NewSender(signpost.WithSigner(s))
	assert.Error(t, err, "option")
	req := httptest.NewRequest(http.MethodPost, "https://a.example/", nil)
	err = s.Sign(req, &signpost.Message{ID: "id", Payload: []byte("{}")}, time.Unix(1, 0))
	assert.NotEqual(t, "1", req.Header.Get("X-Signature"), "%v", err)
}

type foreign struct{ signpost.Part }

// Nobody else's Part gets in by embedding one, nor one that is out of range.
func TestForeignParts(t *testing.T) {
	assert.NotPanics(t, func() {
		signpost.HeaderSigner("X", foreign{}, signpost.HexHMAC([]byte("s"), signpost.Body))
	})
	_, err := signpost.NewSender(signpost.WithSigner(signpost.HeaderSigner("X", foreign{signpost.Body}, signpost.HexHMAC([]byte("s"), signpost.Body))))
	assert.Error(t, err)
	_, err = signpost.NewSender(signpost.WithSigner(signpost.HeaderSigner("X", signpost.Body+5, signpost.HexHMAC([]byte("s"), signpost.Body+5, signpost.Body))))
	assert.Error(t, err)
}
