package wire

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestEncode(t *testing.T) {
	noon := time.Date(2026, 1, 31, 13, 0, 0, 500_000_000, time.FixedZone("", 3600))
	m := &signpost.Message{
		ID: "msg_1", URL: "https://example.com/hook?a=b", Payload: []byte("{}"), CreatedAt: noon, Attempts: 3,
		Header: http.Header{"X-Two": {"a", "b"}, "x-odd": {"caf\xe9"}},
	}
	assert.Equal(t, []Field{
		{"url", "https://example.com/hook?a=b"}, {"id", "msg_1"}, {"created-at", "2026-01-31T12:00:00.5Z"}, {"attempts", "3"},
		{"not-before", "2026-01-31T12:00:01.5Z"}, {"header-X-Two", "a"}, {"header-X-Two", "b"}, {"header-x-odd", "caf\xe9"},
	}, Encode(m, noon.Add(time.Second)))
	assert.Equal(t, []Field{{"url", "http://a.example/"}}, Encode(&signpost.Message{URL: "http://a.example/"}, time.Time{}))
	assert.Equal(t, []Field{{"url", "http://a.example/"}, {"not-before", "9999-12-31T23:59:59.999999999Z"}},
		Encode(&signpost.Message{URL: "http://a.example/"}, noon.AddDate(1e6, 0, 0)))
}

func TestEncodeDead(t *testing.T) {
	noon := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	assert.Equal(t, []Field{{"died-at", "2026-01-31T12:00:00Z"}, {"reason", "signpost: gone"}, {"last-status", "410"}},
		EncodeDead(signpost.Outcome{Reason: errors.New("signpost: gone"), Attempt: signpost.Attempt{StatusCode: 410}}, noon))
	assert.Equal(t, []Field{{"died-at", "2026-01-31T12:00:00Z"}, {"last-error", "refused"}},
		EncodeDead(signpost.Outcome{Attempt: signpost.Attempt{Err: errors.New("refused")}}, noon))
}

func TestDecode(t *testing.T) {
	m, notBefore, err := Decode([]Field{
		{"traceparent", "00-1"}, {"url", "https://example.com/"}, {"created-at", "2026-01-31T13:00:00.5+01:00"}, {"not-before", "2026-01-31t12:00:01z"},
		{"attempts", "7"}, {"id", "msg_1"}, {"header-X-Two", "a"}, {"traceparent", "00-2"}, {"header-X-Two", ""}, {"header-x-two", "\xff"}, {"Url", "no"},
	}, []byte("{}"))
	require.NoError(t, err)
	assert.Equal(t, time.Date(2026, 1, 31, 12, 0, 1, 0, time.UTC), notBefore.UTC())
	assert.True(t, time.Date(2026, 1, 31, 12, 0, 0, 500_000_000, time.UTC).Equal(m.CreatedAt))
	m.CreatedAt = time.Time{}
	assert.Equal(t, &signpost.Message{
		ID: "msg_1", URL: "https://example.com/", Payload: []byte("{}"), Attempts: 7, Header: http.Header{"X-Two": {"a", ""}, "x-two": {"\xff"}},
	}, m)
}

func TestDecodeRefuses(t *testing.T) {
	url := Field{"url", "https://example.com/"}
	for name, c := range map[string]struct {
		fields []Field
		says   string
	}{
		"nothing":             {nil, "header url: it is missing; give the URL that the message goes to"},
		"an empty URL":        {[]Field{{"url", ""}}, "header url: it is missing; give the URL that the message goes to"},
		"two URLs":            {[]Field{url, url}, "header url: it is there twice; give it once"},
		"two IDs":             {[]Field{url, {"id", "a"}, {"id", "a"}}, "header id: it is there twice; give it once"},
		"seconds since 1970":  {[]Field{url, {"created-at", "1769860800"}}, `header created-at: "1769860800" is no time as in RFC 3339; give one such as 2026-01-31T12:00:00.5Z`},
		"no time":             {[]Field{url, {"not-before", ""}}, `header not-before: "" is no time as in RFC 3339; give one such as 2026-01-31T12:00:00.5Z`},
		"the first second":    {[]Field{url, {"not-before", "0001-01-01T00:00:00Z"}}, `header not-before: "0001-01-01T00:00:00Z" is no time as in RFC 3339; give one such as 2026-01-31T12:00:00.5Z`},
		"negative attempts":   {[]Field{url, {"attempts", "-1"}}, `header attempts: "-1" is no count; give 0 or more`},
		"attempts beyond all": {[]Field{url, {"attempts", "99999999999999999999999999999999999999999999"}}, `header attempts: "9999999999999999999999999999999999999999"… is no count; give 0 or more`},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := Decode(c.fields, nil)
			assert.EqualError(t, err, c.says)
			assert.Nil(t, m)
		})
	}
}

// What is decoded is encoded to what is decoded to the same.
func FuzzDecode(f *testing.F) {
	f.Add("https://example.com/", "msg_1", "2026-01-31T12:00:00.5Z", "3", "2026-01-31T12:00:00+14:00", "X-Two", "a", []byte("{}"))
	f.Add("", "", "9999-12-31T23:59:60Z", "+1", "0000-01-01T00:00:00Z", "", "\x00", []byte(nil))
	f.Fuzz(func(t *testing.T, url, id, created, attempts, notBefore, name, value string, payload []byte) {
		fields := []Field{{URL, url}, {HeaderPrefix + name, value}, {"other", value}, {HeaderPrefix + name, name}}
		for _, optional := range []Field{{ID, id}, {CreatedAt, created}, {Attempts, attempts}, {NotBefore, notBefore}} {
			if optional.Value != "" {
				fields = append(fields, optional)
			}
		}
		m, at, err := Decode(fields, payload)
		if err != nil {
			require.Nil(t, m)
			return
		}
		require.Equal(t, []string{value, name}, m.Header[name])
		again, atAgain, err := Decode(Encode(m, at), payload)
		require.NoError(t, err)
		require.True(t, at.Equal(atAgain))
		require.True(t, m.CreatedAt.Equal(again.CreatedAt))
		again.CreatedAt = m.CreatedAt
		require.Equal(t, m, again)
	})
}
