package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A payload is a body that every receiver must get as it was signed.
type payload struct {
	name string
	body string
}

// Payloads that only some receivers take, by what is said of them in the rows' refuses.
const (
	deep       = "500 arrays in each other"
	deepest    = "9,990 arrays in each other"
	longNumber = "a number of 5,000 digits"
	notUTF8    = "bytes that are not UTF-8"
)

var payloads = []payload{
	{"an object", `{"type":"order.paid","order":42}`},
	{"an empty object", `{}`},
	{"null", `null`},
	{"a number", `42`},
	{"a string", `"order.paid"`},
	{"Unicode", `{"name":"Zoë Ångström","city":"東京","word":"שלום","decomposed":"e\u0301 é"}`},
	{"emoji", `{"text":"👩‍🚀🏳️‍🌈 \ud83d\ude80"}`},
	{"half of a surrogate pair", `{"text":"\ud83d"}`},
	{"escaped slashes", `{"url":"https:\/\/example.com\/a\/b"}`},
	{"escapes of every kind", `{"text":"\"\\\/\b\f\n\r\t\u0000\u2028<script>&amp;"}`},
	{"line separators", "{\"text\":\"\u2028\u2029\u0085\ufeff\"}"},
	{"big numbers", `{"n":[12345678901234567890,-9007199254740993,1.7976931348623157e308,1E-7,-0.0,0.10000000000000000555]}`},
	{"duplicate keys", `{"a":1,"a":2,"":3,"":4}`},
	{"space and line ends within", "{ \"a\" :\r\n\t[ 1 , 2 ]\r\n}"},
	{"a trailing newline", "{\"a\":1}\n"},
	{"leading and trailing space", " \t\r\n{\"a\":1}\r\n\r\n"},
	{"what looks like signatures", `{"t":"v1=00,v1a,AAAA msg.1.{}"}`},
	{"100 arrays in each other", strings.Repeat("[", 100) + strings.Repeat("]", 100)},
	{deep, strings.Repeat("[", 500) + strings.Repeat("]", 500)},
	{"1 MiB", `{"text":"` + strings.Repeat("é", 1<<19-6) + `"}`},
	{deepest, strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990)}, // with room for what wrap puts around it
	{longNumber, `{"n":` + strings.Repeat("7", 5_000) + `}`},
	{notUTF8, "{\"text\":\"caf\xe9\"}"},
}

// withRealEvents adds events that GitHub has sent, if they are there.
func withRealEvents(t *testing.T, all []payload) []payload {
	t.Helper()
	file, err := os.Open(filepath.FromSlash("../../shared/payloads/github.jsonl"))
	if err != nil {
		return all
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 4<<20)
	for n := 1; lines.Scan(); n++ {
		var event struct {
			Event   string
			Payload json.RawMessage
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
		all = append(all, payload{fmt.Sprintf("GitHub's %s, line %d", event.Event, n), string(event.Payload)})
	}
	require.NoError(t, lines.Err())
	return all
}

// asStripeEvent puts what a payload holds into an event of Stripe's: its libraries take nothing else.
func asStripeEvent(body string) string {
	inner := strings.TrimRight(body, "\r\n")
	return `{"id":"evt_1","object":"event","type":"order.paid","data":{"object":{"it":` + inner + `}}}` + body[len(inner):]
}
