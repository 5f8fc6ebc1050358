// Command receiver has a path for every scheme. It prints where it listens and which versions it runs, and ends with
// its stdin.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	svix "github.com/svix/svix-webhooks/go"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, http.HandlerFunc(serve))) }()

	versions := map[string]string{}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			versions[module.Path] = module.Version
		}
	}
	hello, err := json.Marshal(map[string]any{
		"port": listener.Addr().(*net.TCPAddr).Port, "language": "Go " + runtime.Version()[len("go"):], "versions": versions,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", hello)
	io.Copy(io.Discard, os.Stdin)
}

func serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	first, second, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // /SCHEME, /SCHEME/old or /sign/SCHEME
	switch {
	case first == "sign":
		sign(w, r, body, second)
	case second == "old":
		verify(w, r, body, first, os.Getenv("OLD_WEBHOOK_SECRET"))
	default:
		verify(w, r, body, first, os.Getenv("WEBHOOK_SECRET"))
	}
}

func verify(w http.ResponseWriter, r *http.Request, body []byte, scheme, secret string) {
	var err error
	switch scheme {
	case "standardwebhooks":
		err = verifyStandardWebhooks(r, body, secret)
	case "svix":
		err = verifySvix(r, body, secret)
	case "github":
		r.Body = io.NopCloser(bytes.NewReader(body))
		err = verifyGitHub(r, secret)
	case "stripe":
		err = verifyStripe(r, body, secret)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
	}
}

// sign answers with what the library signs, given the request's ID and time.
func sign(w http.ResponseWriter, r *http.Request, body []byte, scheme string) {
	signature, err := func() (string, error) {
		seconds, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
		if err != nil {
			return "", err
		}
		id, t, secret := r.Header.Get("webhook-id"), time.Unix(seconds, 0), os.Getenv("WEBHOOK_SECRET")
		if scheme == "svix" {
			webhook, err := svix.NewWebhook(secret)
			if err != nil {
				return "", err
			}
			return webhook.Sign(id, t, body)
		}
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return "", err
		}
		return webhook.Sign(id, t, body)
	}()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, signature)
}
