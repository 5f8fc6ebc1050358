package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Whatever a record's headers are, it is a message or it isn't; and a message that goes on comes back as it is.
func FuzzRecord(f *testing.F) {
	f.Add("https://example.com/?a=b", "msg_1", "not-before", "2026-01-31T12:00:00Z", "header-X-A", "b", []byte("{}"))
	f.Add("https://example.com/", "", "attempts", "-1", "signpost-copy", "x.1", []byte("\xff"))
	f.Add("", "a.b", "url", "http://[::1", "traceparent", "00-1", []byte(nil))
	q := &Queue{cluster: "cluster"}
	f.Fuzz(func(t *testing.T, url, id, name1, value1, name2, value2 string, payload []byte) {
		r := &kgo.Record{
			Topic: "t", Partition: 1, Offset: 7, Timestamp: time.UnixMilli(1769860800123), Value: payload,
			Headers: rawHeaders("url", url, name1, value1, name2, value2),
		}
		if id != "" {
			r.Headers = append(r.Headers, rawHeaders("id", id)...)
		}
		m, more, notBefore, err := q.decode(r)
		if err != nil {
			require.Nil(t, m)
			return
		}
		require.NotEmpty(t, m.ID)
		require.False(t, m.CreatedAt.IsZero())
		again := encode("t", m, more, notBefore)
		again.Timestamp = time.Now()
		m2, more2, notBefore2, err := q.decode(again)
		require.NoError(t, err)
		require.True(t, notBefore.Equal(notBefore2))
		require.True(t, m.CreatedAt.Equal(m2.CreatedAt))
		m2.CreatedAt = m.CreatedAt
		if len(payload) == 0 {
			m2.Payload = m.Payload
		}
		require.Equal(t, m, m2)
		require.Equal(t, more, more2)
	})
}
