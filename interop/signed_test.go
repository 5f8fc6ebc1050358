package interop

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// signing has the schemes that each language's libraries sign.
var signing = map[string]map[string]func(t *testing.T, r *receiver, scheme string){
	"javascript": {"standardwebhooks": testSigned, "svix": testSigned, "github": testSame, "stripe": testSame},
	"python":     {"standardwebhooks": testSigned, "svix": testSigned, "stripe": testSame},
	"go":         {"standardwebhooks": testSigned, "svix": testSigned},
	"rust":       {"standardwebhooks": testSigned},
	"java":       {"standardwebhooks": testSigned},
}

// What a library signs, Verifier accepts, whatever stands beside it.
func testSigned(t *testing.T, r *receiver, scheme string) {
	verifier, err := signpost.NewVerifier(current.secret)
	require.NoError(t, err)
	for _, p := range payloads {
		if p.name == notUTF8 {
			continue // most libraries sign text
		}
		now := time.Now()
		signature := signedBy(t, r, scheme, "msg_1", now, p.body)
		ours := strings.Join(signed(t, standard(stranger, old), p.body)["Webhook-Signature"], " ")
		h := http.Header{}
		h.Set("webhook-id", "msg_1")
		h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		for name, lines := range map[string][]string{
			"alone":                           {signature},
			"before others":                   {signature + " v1,AAAA v1a,AAAA"},
			"after others":                    {"v1,AAAA v1a,AAAA " + signature},
			"beside unknown versions":         {"v0,AAAA v2,AAAA " + signature + " v1b,AAAA x"},
			"in one of several lines":         {"v1,AAAA", "v1a,AAAA v2,AAAA", signature},
			"beside signatures by other keys": {ours + " " + signature},
		} {
			h["Webhook-Signature"] = lines
			assert.NoError(t, verifier.Verify(h, []byte(p.body)), "%s, %s", p.name, name)
			assert.ErrorIs(t, verifier.Verify(h, []byte(p.body+" ")), signpost.ErrSignature, "%s with another body, %s", p.name, name)
		}
	}
}

// What a library signs for its users' tests is the very text that we send.
func testSame(t *testing.T, r *receiver, scheme string) {
	s, header := github(current), "X-Hub-Signature-256"
	if scheme == "stripe" {
		s, header = stripe(current), "Stripe-Signature"
	}
	for _, p := range payloads {
		if p.name == notUTF8 {
			continue
		}
		at := time.Unix(1700000000, 0)
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		require.NoError(t, s.Sign(req, &signpost.Message{ID: "msg_1", Payload: []byte(p.body)}, at))
		assert.Equal(t, signedBy(t, r, scheme, "msg_1", at, p.body), req.Header.Get(header), p.name)
	}
}

func signed(t *testing.T, s signpost.Signer, body string) http.Header {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	require.NoError(t, s.Sign(req, &signpost.Message{ID: "msg_1", Payload: []byte(body)}, time.Now()))
	return req.Header
}

// signedBy asks a receiver's library to sign.
func signedBy(t *testing.T, r *receiver, scheme, id string, at time.Time, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("sign/"+scheme), bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", fmt.Sprint(at.Unix()))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	return string(text)
}
