package payload_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/payload"
)

func TestPayloadHasItsSizeWhateverItsNumber(t *testing.T) {
	for _, size := range []int{payload.Smallest, 200, 1 << 10, 16 << 10} {
		p := payload.New(size)
		for _, n := range []int{0, 1, 999_999_999, payload.Most - 1} {
			p.Number(n)
			assert.Len(t, p, size)
			assert.True(t, json.Valid(p), "%s", p)
			got, err := payload.Number(p)
			require.NoError(t, err)
			assert.Equal(t, n, got)
		}
	}
}

func TestNumberRefusesWhatIsNoPayload(t *testing.T) {
	for _, body := range []string{"", "{}", `{"id":`, `{"id":1000000001`, `{"id":x000000001,"data":""}`, `{"id":0000000001,"data":""}`, ` {"id":1000000001,"data":""}`} {
		_, err := payload.Number([]byte(body))
		assert.Error(t, err, "%q", body)
	}
}

func FuzzNumber(f *testing.F) {
	f.Add([]byte(payload.New(100)))
	f.Add([]byte(`{"id":-000000001,"data":""}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if n, err := payload.Number(body); err == nil {
			assert.GreaterOrEqual(t, n, 0)
			assert.Less(t, n, payload.Most)
		}
	})
}
