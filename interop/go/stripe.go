package main

import (
	"net/http"

	"github.com/stripe/stripe-go/v84/webhook"
)

// The version of Stripe's API means nothing to events that aren't Stripe's.
func verifyStripe(r *http.Request, body []byte, secret string) error {
	_, err := webhook.ConstructEventWithOptions(body, r.Header.Get("Stripe-Signature"), secret,
		webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true})
	return err
}
