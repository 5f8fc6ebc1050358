package main

import (
	"net/http"

	"github.com/google/go-github/v74/github"
)

// The library reads the body itself, and wants the request's Content-Type.
func verifyGitHub(r *http.Request, secret string) error {
	_, err := github.ValidatePayload(r, []byte(secret))
	return err
}
