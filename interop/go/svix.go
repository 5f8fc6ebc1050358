package main

import (
	"net/http"

	svix "github.com/svix/svix-webhooks/go"
)

// It reads svix-id, svix-timestamp and svix-signature, or else the headers of Standard Webhooks.
func verifySvix(r *http.Request, body []byte, secret string) error {
	webhook, err := svix.NewWebhook(secret)
	if err != nil {
		return err
	}
	return webhook.Verify(body, r.Header)
}
