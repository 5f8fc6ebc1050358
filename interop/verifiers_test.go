package interop

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"

	"github.com/signpost-go/signpost"
)

// keys are a sender's: which of them is used depends on the scheme.
type keys struct {
	secret  signpost.Secret
	private signpost.PrivateKey
}

func newKeys() keys { return keys{signpost.NewSecret(), signpost.NewPrivateKey()} }

// Receivers hold the current keys, and on paths that end with /old the old ones. A stranger's keys they don't know.
var current, old, stranger = newKeys(), newKeys(), newKeys()

// raw is a secret of the schemes that take any text for one.
func (k keys) raw() []byte { return []byte(k.secret.Reveal()) }

func (k keys) ed25519() ed25519.PrivateKey {
	return must(base64.StdEncoding.DecodeString(strings.TrimPrefix(k.private.Reveal(), "whsk_")))
}

// must is for what can't fail with the keys of this file.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The schemes, as senders write them. Those with room for several signatures sign with all keys.

func standard(all ...keys) signpost.Signer { return must(signpost.NewSigner(secrets(all)...)) }

func svix(all ...keys) signpost.Signer {
	return must(signpost.NewPrefixedSigner("svix-", secrets(all)...))
}

func secrets(all []keys) (list []signpost.Key) {
	for _, k := range all {
		list = append(list, k.secret)
	}
	return list
}

func asymmetric(all ...keys) signpost.Signer {
	var list []signpost.Key
	for _, k := range all {
		list = append(list, k.private)
	}
	return must(signpost.NewSigner(list...))
}

func github(all ...keys) signpost.Signer {
	return signpost.HMACSigner("X-Hub-Signature-256", "sha256=", all[0].raw())
}

func stripe(all ...keys) signpost.Signer {
	var list [][]byte
	for _, k := range all {
		list = append(list, k.raw())
	}
	return signpost.TimestampSigner("Stripe-Signature", list...)
}

func plain(all ...keys) signpost.Signer { return signpost.HMACSigner("X-Signature", "", all[0].raw()) }

func shopify(all ...keys) signpost.Signer {
	return signpost.HeaderSigner("X-Shopify-Hmac-Sha256", signpost.Base64HMAC(all[0].raw(), signpost.Body))
}

func slack(all ...keys) signpost.Signer {
	return signpost.Signers(
		signpost.HeaderSigner("X-Slack-Request-Timestamp", signpost.UnixTime),
		signpost.HeaderSigner("X-Slack-Signature", signpost.Text("v0="),
			signpost.HexHMAC(all[0].raw(), signpost.Text("v0:"), signpost.UnixTime, signpost.Text(":"), signpost.Body)),
	)
}

func messageSignature(all ...keys) signpost.Signer { return must(newMessageSigner(all[0].ed25519())) }

// A verifier is one library, as a receiver uses it for one scheme.
type verifier struct {
	language, library, version string // of a standard library there is no version
	scheme                     string
	path                       string                        // of the receiver
	source                     string                        // the file that verifies
	sign                       func(...keys) signpost.Signer // the first key counts where there is room for one only
	rotates                    bool                          // there is room for several signatures
	untimed                    bool                          // no time is signed, or it isn't for us to set
	wrap                       func(body string) string      // nil: payloads are sent as they are
	refuses                    map[string]string             // payloads that it doesn't take, and what it says
}

const (
	v1           = "Standard Webhooks v1"
	v1a          = "Standard Webhooks v1a"
	svixHeaders  = "Svix, svix-*"
	githubScheme = "GitHub"
	stripeScheme = "Stripe"
	plainScheme  = "X-Signature, hex"
)

// What libraries say that take the body for text, or parse it once it is verified.
const (
	noMatch       = "No matching signature found"
	noUTF8        = "UnicodeDecodeError"
	tooDeep       = "RecursionError"
	tooManyDigits = "Exceeds the limit (4300 digits)"
)

var verifiers = []verifier{
	{language: "javascript", library: "standardwebhooks", version: "1.1.1", scheme: v1, path: "standardwebhooks",
		source: "standardwebhooks.js", sign: standard, rotates: true, refuses: map[string]string{notUTF8: noMatch}},
	{language: "javascript", library: "svix", version: "2.5.0", scheme: svixHeaders, path: "svix",
		source: "svix.js", sign: svix, rotates: true, refuses: map[string]string{notUTF8: noMatch}},
	{language: "javascript", library: "svix", version: "2.5.0", scheme: v1, path: "svix",
		source: "svix.js", sign: standard, rotates: true, refuses: map[string]string{notUTF8: noMatch}},
	{language: "javascript", library: "node:crypto", scheme: v1a, path: "ed25519",
		source: "ed25519.js", sign: asymmetric, rotates: true},
	{language: "javascript", library: "@octokit/webhooks-methods", version: "6.0.0", scheme: githubScheme, path: "github",
		source: "github.js", sign: github, untimed: true, refuses: map[string]string{notUTF8: "signature doesn't match"}},
	{language: "javascript", library: "stripe", version: "23.1.0", scheme: stripeScheme, path: "stripe",
		source: "stripe.js", sign: stripe, rotates: true, wrap: asStripeEvent,
		refuses: map[string]string{notUTF8: "No signatures found"}},
	{language: "javascript", library: "node:crypto", scheme: plainScheme, path: "plain",
		source: "plain.js", sign: plain, untimed: true},

	{language: "python", library: "standardwebhooks", version: "1.1.0", scheme: v1, path: "standardwebhooks",
		source: "verify_standardwebhooks.py", sign: standard, rotates: true,
		refuses: map[string]string{notUTF8: noUTF8, deepest: tooDeep, longNumber: tooManyDigits}},
	{language: "python", library: "svix", version: "2.9.1", scheme: svixHeaders, path: "svix",
		source: "verify_svix.py", sign: svix, rotates: true, refuses: map[string]string{notUTF8: noUTF8}},
	{language: "python", library: "svix", version: "2.9.1", scheme: v1, path: "svix",
		source: "verify_svix.py", sign: standard, rotates: true, refuses: map[string]string{notUTF8: noUTF8}},
	{language: "python", library: "cryptography", version: "50.0.2", scheme: v1a, path: "ed25519",
		source: "verify_ed25519.py", sign: asymmetric, rotates: true},
	{language: "python", library: "stripe", version: "16.1.0", scheme: stripeScheme, path: "stripe",
		source: "verify_stripe.py", sign: stripe, rotates: true, wrap: asStripeEvent,
		refuses: map[string]string{notUTF8: noUTF8, deep: tooDeep, deepest: tooDeep, longNumber: tooManyDigits}},
	{language: "python", library: "slack-sdk", version: "3.48.0", scheme: "Slack", path: "slack",
		source: "verify_slack.py", sign: slack, refuses: map[string]string{notUTF8: noUTF8}},
	{language: "python", library: "hmac", scheme: "Shopify", path: "shopify",
		source: "verify_shopify.py", sign: shopify, untimed: true},
	{language: "python", library: "hmac", scheme: plainScheme, path: "plain",
		source: "verify_plain.py", sign: plain, untimed: true},
	{language: "python", library: "flask", version: "3.1.3", scheme: plainScheme, path: "flask",
		source: "flask_app.py", sign: plain, untimed: true},
	{language: "python", library: "http-message-signatures", version: "3.0.0", scheme: "RFC 9421, ed25519",
		path: "message_signature", source: "verify_message_signature.py", sign: messageSignature, untimed: true},

	{language: "go", library: "github.com/standard-webhooks/standard-webhooks/libraries", version: "v0.0.1", scheme: v1,
		path: "standardwebhooks", source: "standardwebhooks.go", sign: standard, rotates: true},
	{language: "go", library: "github.com/svix/svix-webhooks", version: "v1.44.0", scheme: svixHeaders,
		path: "svix", source: "svix.go", sign: svix, rotates: true},
	{language: "go", library: "github.com/svix/svix-webhooks", version: "v1.44.0", scheme: v1,
		path: "svix", source: "svix.go", sign: standard, rotates: true},
	{language: "go", library: "github.com/google/go-github/v74", version: "v74.0.0", scheme: githubScheme,
		path: "github", source: "github.go", sign: github, untimed: true},
	{language: "go", library: "github.com/stripe/stripe-go/v84", version: "v84.4.1", scheme: stripeScheme,
		path: "stripe", source: "stripe.go", sign: stripe, rotates: true, wrap: asStripeEvent,
		refuses: map[string]string{longNumber: "cannot unmarshal number"}},

	{language: "rust", library: "standardwebhooks", version: "1.0.1", scheme: v1, path: "standardwebhooks",
		source: "src/standard_webhooks.rs", sign: standard, rotates: true, refuses: map[string]string{notUTF8: "payload invalid"}},

	{language: "java", library: "com.standardwebhooks:standardwebhooks", version: "1.2.0", scheme: v1, path: "standardwebhooks",
		source: "StandardWebhooks.java", sign: standard, rotates: true, refuses: map[string]string{notUTF8: noMatch}},
}
