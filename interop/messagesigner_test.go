package interop

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/yaronf/httpsign"

	"github.com/signpost-go/signpost"
)

// newMessageSigner returns a Signer by HTTP Message Signatures (RFC 9421) with ed25519. The body is covered by its
// Content-Digest (RFC 9530), and the message's ID by its header. The library takes the signature's time from its clock.
func newMessageSigner(key ed25519.PrivateKey) (signpost.Signer, error) {
	signer, err := httpsign.NewEd25519Signer(key,
		httpsign.NewSignConfig().SetKeyID("signpost"),
		httpsign.Headers("@method", "@target-uri", "content-digest", "webhook-id"))
	if err != nil {
		return nil, err
	}
	return signpost.SignerFunc(func(req *http.Request, m *signpost.Message, _ time.Time) error {
		digest := sha256.Sum256(m.Payload)
		req.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest[:])+":")
		req.Header.Set("Webhook-Id", m.ID)
		input, signature, err := httpsign.SignRequest("sig1", *signer, req)
		if err != nil {
			return err
		}
		req.Header.Set("Signature-Input", input)
		req.Header.Set("Signature", signature)
		return nil
	}), nil
}
