package ledger

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// A clerk enters what a dispatcher and a receiver would.
type clerk struct {
	*Ledger
	secret signpost.Secret
}

const id = "msg_1"

func (c clerk) attempt(t *testing.T, answer *http.Response) {
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Header.Set("Webhook-Id", id)
	resp, err := c.Transport(roundTrip(func(*http.Request) (*http.Response, error) { return answer, nil })).RoundTrip(req)
	require.NoError(t, err)
	resp.Body.Close()
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, retryAfter string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retryAfter}}, Body: io.NopCloser(strings.NewReader(""))}
}

func (c clerk) outcome(attempt int, o signpost.Outcome) {
	o.Attempt.Number = attempt
	c.Observe(context.Background(), &signpost.Message{ID: id, Attempts: attempt}, o)
}

func (c clerk) arrive(t *testing.T, secret signpost.Secret) {
	signer, err := signpost.NewSigner(secret)
	require.NoError(t, err)
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	require.NoError(t, signer.Sign(req, &signpost.Message{ID: id, Payload: []byte(`{}`)}, time.Now()))
	c.Arrive(req.Header, []byte(`{}`))
}

var (
	delivered = signpost.Outcome{State: signpost.Delivered}
	dead      = signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired}
	retrying  = signpost.Outcome{State: signpost.Retrying}
)

func handedBack() error {
	return &signpost.UndeliveredError{Messages: []*signpost.Message{{ID: id}}}
}

func TestBooksThatBalance(t *testing.T) {
	secret := signpost.NewSecret()
	c := clerk{New(secret), secret}
	c.Accept(id)
	c.attempt(t, answer(500, ""))
	c.arrive(t, secret)
	c.outcome(1, retrying)
	assert.Len(t, c.HandBack(handedBack()), 1)
	c.Again(id)
	c.attempt(t, answer(200, ""))
	c.arrive(t, secret)
	c.Handle(id)
	c.outcome(2, delivered)
	c.Check(t)
	assert.Equal(t, Balance{Messages: 1, Delivered: 1, Attempts: 2, Requests: 2}, c.Balance())
	c.Handle(id)
	assert.Equal(t, 1, c.Balance().Duplicates)
	assert.Equal(t, signpost.Delivered, c.Last(id).State)
}

// Each of these is one thing wrong with books that balance otherwise.
func TestBooksThatDoNotBalance(t *testing.T) {
	later := retrying
	later.RetryAt = time.Now().Add(time.Hour)
	for _, c := range []struct {
		name  string
		enter func(t *testing.T, c clerk)
		says  string
	}{
		{"lost", func(t *testing.T, c clerk) { c.Accept(id) }, "lost"},
		{"lost after an attempt", func(t *testing.T, c clerk) { c.Accept(id); c.attempt(t, answer(500, "")); c.outcome(1, retrying) }, "lost after 1"},
		{"never accepted", func(t *testing.T, c clerk) { c.attempt(t, answer(200, "")); c.outcome(1, delivered) }, "never accepted"},
		{"ended twice", func(t *testing.T, c clerk) { c.Accept(id); c.outcome(0, dead); c.outcome(0, dead) }, "after it has ended"},
		{"dead without a reason", func(t *testing.T, c clerk) { c.Accept(id); c.outcome(0, signpost.Outcome{State: signpost.Dead}) }, "without a reason"},
		{"an attempt after the end", func(t *testing.T, c clerk) { c.Accept(id); c.outcome(0, dead); c.attempt(t, answer(200, "")) }, "after it has ended"},
		{"an attempt while handed back", func(t *testing.T, c clerk) {
			c.Accept(id)
			c.HandBack(handedBack())
			c.attempt(t, answer(200, ""))
		}, "while it is handed back"},
		{"an outcome while handed back", func(t *testing.T, c clerk) { c.Accept(id); c.HandBack(handedBack()); c.outcome(0, retrying) }, "while it is handed back"},
		{"handed back twice", func(t *testing.T, c clerk) { c.Accept(id); c.HandBack(handedBack()); c.HandBack(handedBack()) }, "twice"},
		{"handed back after the end", func(t *testing.T, c clerk) { c.Accept(id); c.outcome(0, dead); c.HandBack(handedBack()) }, "after it has ended"},
		{"accepted twice", func(t *testing.T, c clerk) { c.Accept(id); c.Accept(id); c.outcome(0, dead) }, "accepted 2 times"},
		{"another error of Shutdown", func(t *testing.T, c clerk) { c.HandBack(errors.New("oh")) }, "oh"},
		{"retried too early", func(t *testing.T, c clerk) {
			c.Accept(id)
			c.attempt(t, answer(500, ""))
			c.outcome(1, later)
			c.attempt(t, answer(200, ""))
			c.outcome(2, delivered)
		}, "too early"},
		{"earlier than a Retry-After asks", func(t *testing.T, c clerk) {
			c.Accept(id)
			c.attempt(t, answer(429, "60"))
			c.outcome(1, retrying)
			c.attempt(t, answer(200, ""))
			c.outcome(2, delivered)
		}, "too early"},
		{"earlier than a Retry-After's date", func(t *testing.T, c clerk) {
			c.Accept(id)
			c.attempt(t, answer(503, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)))
			c.outcome(1, retrying)
			c.attempt(t, answer(200, ""))
			c.outcome(2, delivered)
		}, "too early"},
		{"a gap between attempts", func(t *testing.T, c clerk) { c.Accept(id); c.outcome(1, retrying); c.outcome(3, dead) }, "attempt 3 follows attempt 1"},
		{"another number than the message's", func(t *testing.T, c clerk) {
			c.Accept(id)
			o := dead
			o.Attempt.Number = 2
			c.Observe(context.Background(), &signpost.Message{ID: id, Attempts: 1}, o)
		}, "outcome of attempt 2 after 1"},
		{"delivered without an attempt", func(t *testing.T, c clerk) { c.Accept(id); c.outcome(1, delivered) }, "without an attempt"},
		{"delivered to nobody", func(t *testing.T, c clerk) {
			c.Accept(id)
			c.attempt(t, answer(200, ""))
			c.arrive(t, c.secret)
			c.outcome(1, delivered)
		}, "no receiver has it"},
		{"a forged request", func(t *testing.T, c clerk) { c.arrive(t, signpost.NewSecret()) }, "doesn't verify"},
		{"a repeated request", func(t *testing.T, c clerk) {
			c.Accept(id)
			c.attempt(t, answer(200, ""))
			c.arrive(t, c.secret)
			c.arrive(t, c.secret)
			c.Handle(id)
			c.outcome(1, delivered)
		}, "2 requests have arrived of 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			secret := signpost.NewSecret()
			l := New(secret)
			c.enter(t, clerk{l, secret})
			problems := l.Problems()
			require.NotEmpty(t, problems)
			assert.Contains(t, strings.Join(problems, "\n"), c.says)
		})
	}
}

func TestHandler(t *testing.T) {
	secret := signpost.NewSecret()
	for _, status := range []int{0, 204, 500} {
		c := clerk{New(secret), secret}
		h := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, `{}`, string(body))
			if status != 0 {
				w.WriteHeader(status)
			}
		}))
		signer, err := signpost.NewSigner(secret)
		require.NoError(t, err)
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`))
		require.NoError(t, signer.Sign(req, &signpost.Message{ID: id, Payload: []byte(`{}`)}, time.Now()))
		c.Accept(id)
		c.attempt(t, answer(200, ""))
		h.ServeHTTP(httptest.NewRecorder(), req)
		c.outcome(1, delivered)
		assert.Equal(t, 1, c.Balance().Requests)
		assert.Equal(t, status == 500, len(c.Problems()) > 0, "%d: %v", status, c.Problems())

		forged := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, forged)
		assert.Equal(t, http.StatusUnauthorized, w.Code)
	}
}
