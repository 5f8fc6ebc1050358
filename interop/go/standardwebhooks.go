package main

import (
	"net/http"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func verifyStandardWebhooks(r *http.Request, body []byte, secret string) error {
	webhook, err := standardwebhooks.NewWebhook(secret) // "whsec_…"
	if err != nil {
		return err
	}
	return webhook.Verify(body, r.Header)
}
