package interop

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

func TestMain(m *testing.M) {
	code := m.Run()
	printTable()
	os.Exit(code)
}

// Every receiver takes what it is sent, and nothing that somebody has tampered with. What its library signs, we take.
func TestReceivers(t *testing.T) {
	all := withRealEvents(t, payloads)
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel() // they are slow to install and to start
			r := startReceiver(t, l)
			for _, v := range verifiers {
				if v.language == l.name {
					t.Run(v.library+" "+v.scheme, func(t *testing.T) { testVerifier(t, r, v, all) })
				}
			}
			for scheme, test := range signing[l.name] {
				t.Run("signing "+scheme, func(t *testing.T) { test(t, r, scheme) })
			}
		})
	}
}

func testVerifier(t *testing.T, r *receiver, v verifier, all []payload) {
	if v.version != "" {
		assert.Equal(t, v.version, r.Versions[v.library], "the version that is installed")
	}
	if v.wrap != nil {
		all = slices.Clone(all)
		for i, p := range all {
			all[i].body = v.wrap(p.body)
		}
	}
	url := r.url(v.path)
	row := result{verifier: v, language: r.Language, libraryVersion: r.Versions[v.library], sent: len(all)}

	answers := send(t, url, v.sign(current), all)
	for _, p := range all {
		a, want := answers[p.name], v.refuses[p.name]
		switch {
		case want == "" && a.StatusCode == http.StatusOK:
			row.accepted++
		case want == "":
			t.Errorf("%s: refused with %d: %.300s", p.name, a.StatusCode, a.Body)
		case a.StatusCode == http.StatusOK:
			t.Errorf("%s: accepted, although the library is known to refuse it", p.name)
		default:
			assert.Contains(t, string(a.Body), want, p.name)
			row.refused++
		}
	}
	if v.rotates {
		for path, first := range map[string]keys{v.path: current, v.path + "/old": old} {
			for _, both := range [][]keys{{current, old}, {old, current}} {
				a := send(t, r.url(path), v.sign(both...), all[:1])[all[0].name]
				assert.Equal(t, http.StatusOK, a.StatusCode, "%s during a rotation: %s", path, a.Body)
			}
			a := send(t, r.url(path), v.sign(first), all[:1])[all[0].name]
			assert.Equal(t, http.StatusOK, a.StatusCode, "%s with its own key: %s", path, a.Body)
		}
		row.rotates = true
	}
	if v.scheme == v1 || v.scheme == v1a {
		for _, s := range []signpost.Signer{
			must(signpost.NewSigner(current.secret, current.private)), must(signpost.NewSigner(current.private, current.secret)),
		} {
			a := send(t, url, s, all[:1])[all[0].name]
			assert.Equal(t, http.StatusOK, a.StatusCode, "a signature of the other version beside its own: %s", a.Body)
		}
	}
	for name, a := range tamper(t, url, v, all[0]) {
		if assert.Equal(t, http.StatusUnauthorized, a.StatusCode, "%s: %s", name, a.Body) {
			row.rejected = append(row.rejected, name)
		}
	}
	results.add(row)
}

// tamper sends p in every way in which it must not be accepted.
func tamper(t *testing.T, url string, v verifier, p payload, opts ...signpost.Option) map[string]signpost.Attempt {
	t.Helper()
	one := func(s signpost.Signer, opts ...signpost.Option) signpost.Attempt {
		return send(t, url, s, []payload{p}, opts...)[p.name]
	}
	answers := map[string]signpost.Attempt{
		"byte": one(v.sign(current), append([]signpost.Option{change(func(req *http.Request) {
			body, err := io.ReadAll(req.Body)
			assert.NoError(t, err)
			req.Body = io.NopCloser(bytes.NewReader(bytes.Replace(body, []byte("42"), []byte("43"), 1)))
		})}, opts...)...),
		"key": one(v.sign(stranger), opts...),
		"unsigned": one(v.sign(current), append([]signpost.Option{change(func(req *http.Request) {
			for name := range req.Header {
				if strings.Contains(name, "Signature") || strings.Contains(name, "Hmac") {
					req.Header.Del(name)
				}
			}
		})}, opts...)...),
	}
	if !v.untimed {
		answers["time"] = one(signpost.SignerFunc(func(req *http.Request, m *signpost.Message, at time.Time) error {
			return v.sign(current).Sign(req, m, at.Add(-10*time.Minute))
		}), opts...)
	}
	return answers
}

// change makes requests differ from what was signed.
func change(f func(*http.Request)) signpost.Option {
	return signpost.WithTransport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			f(req)
			return next.RoundTrip(req)
		})
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// send delivers the payloads through a Dispatcher and returns the attempt made for each, by its name.
func send(t *testing.T, url string, s signpost.Signer, all []payload, opts ...signpost.Option) map[string]signpost.Attempt {
	t.Helper()
	var mu sync.Mutex
	attempts := map[string]signpost.Attempt{} // by message ID
	d, err := signpost.New(append([]signpost.Option{
		signpost.WithSigner(s),
		signpost.WithAllowedNetworks("127.0.0.0/8"),
		signpost.WithRetryPolicy(signpost.RetryPolicy{MaxAttempts: 1}),
		signpost.WithRateLimit(rate.Inf, 1),
		signpost.WithMaxPayload(2 << 20), // for what wraps 1 MiB
		signpost.WithLogger(slog.New(slog.DiscardHandler)),
		signpost.WithObserver(func(_ context.Context, m *signpost.Message, o signpost.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			attempts[m.ID] = o.Attempt
		}),
	}, opts...)...)
	require.NoError(t, err)
	ids := map[string]string{}
	for _, p := range all {
		id, err := d.Send(t.Context(), url, []byte(p.body))
		require.NoError(t, err, p.name)
		ids[p.name] = id
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, d.Shutdown(ctx))
	answers := map[string]signpost.Attempt{}
	for _, p := range all {
		a := attempts[ids[p.name]]
		assert.NoError(t, a.Err, p.name)
		answers[p.name] = a
	}
	return answers
}

// A result is a line of the table.
type result struct {
	verifier
	language, libraryVersion string
	sent, accepted, refused  int
	rotates                  bool
	rejected                 []string
}

var results resultList

type resultList struct {
	mu   sync.Mutex
	rows []result
}

func (l *resultList) add(r result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows = append(l.rows, r)
}

func printTable() {
	if len(results.rows) == 0 {
		return
	}
	slices.SortStableFunc(results.rows, func(a, b result) int { return cmp.Compare(a.language, b.language) })
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(w, "\t verifier\t language\t version\t scheme\t accepted\t both keys\t tampered rejected\t")
	for _, r := range results.rows {
		accepted := fmt.Sprintf("%d of %d", r.accepted, r.sent)
		if r.refused > 0 {
			accepted += fmt.Sprintf(", %d refused as known", r.refused)
		}
		rotation := "-"
		if r.rotates {
			rotation = "yes"
		}
		slices.Sort(r.rejected)
		fmt.Fprintf(w, "\t %s\t %s\t %s\t %s\t %s\t %s\t %s\t\n",
			r.library, r.language, r.libraryVersion, r.scheme, accepted, rotation, strings.Join(r.rejected, ", "))
	}
	w.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Print(strings.TrimPrefix(line, " ")) // so that a line of the table is one that begins with a bar
	}
}
