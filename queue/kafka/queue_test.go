package kafka

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost"
)

// deadLetters reads the first n of them.
func deadLetters(t testing.TB, q *Queue, n int) []*kgo.Record {
	t.Helper()
	return records(t, q, q.config.dead(), n)
}

// records reads the first n records of a topic.
func records(t testing.TB, q *Queue, topic string, n int) (all []*kgo.Record) {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(q.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer c.Close()
	for len(all) < n {
		f := c.PollFetches(within)
		require.NoError(t, f.Err0())
		all = append(all, f.Records()...)
	}
	return all
}

func headers(r *kgo.Record) map[string]string {
	all := map[string]string{}
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// produceRaw has another program produce a record.
func produceRaw(t testing.TB, q *Queue, r *kgo.Record) *kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(q.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer c.Close()
	r.Topic = q.config.ready()
	require.NoError(t, c.ProduceSync(ctx, r).FirstErr())
	return r
}

func rawHeaders(pairs ...string) (h []kgo.RecordHeader) {
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return h
}

func TestDeadLettersSayWhy(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix())
	m := messageTo("https://example.com/hook", "msg_1")
	m.Header = http.Header{"X-A": {"b"}}
	enqueue(t, q, m)
	settle(t, receive(t, q), signpost.Outcome{
		State: signpost.Dead, Reason: signpost.ErrExhausted, Attempt: signpost.Attempt{Number: 1, StatusCode: 503},
	})
	r := deadLetters(t, q, 1)[0]
	h := headers(r)
	died, err := time.Parse(time.RFC3339, h["died-at"])
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), died, patience)
	delete(h, "died-at")
	delete(h, "created-at")
	assert.Equal(t, map[string]string{
		"url": m.URL, "id": "msg_1", "attempts": "1", "header-X-A": "b", "reason": signpost.ErrExhausted.Error(), "last-status": "503",
	}, h)
	assert.Equal(t, m.Payload, r.Value)
}

// What is no message is dead, as it is, and what comes after it isn't held up.
func TestMessageThatCannotBeParsed(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix())
	produceRaw(t, q, &kgo.Record{Key: []byte("k"), Value: []byte("\xff"), Headers: rawHeaders("Url", "https://example.com", "trace", "1")})
	produceRaw(t, q, &kgo.Record{Value: []byte("{}"), Headers: rawHeaders("url", "https://example.com", "attempts", "many")})
	enqueue(t, q, messageTo("https://example.com/", "msg_1"))
	l := receive(t, q)
	assert.Equal(t, "msg_1", l.Message().ID)
	settle(t, l, delivered)
	dead := deadLetters(t, q, 2)
	for _, r := range dead {
		if h := headers(r); string(r.Value) == "\xff" {
			assert.Equal(t, "k", string(r.Key))
			assert.Equal(t, "https://example.com", h["Url"])
			assert.Equal(t, "1", h["trace"])
			assert.Contains(t, h["reason"], "header url: it is missing")
		} else {
			assert.Contains(t, h["reason"], `header attempts: "many"`)
		}
	}
	drained(t, q)
}

// A producer needs to give no more than a URL.
func TestMessageWithoutID(t *testing.T) {
	brokers, prefix := sharedBrokers(t), newPrefix()
	q := openQueue(t, brokers, prefix)
	r := produceRaw(t, q, &kgo.Record{Value: []byte("{}"), Headers: rawHeaders("url", "https://example.com/", "traceparent", "00-1")})
	l := receive(t, q)
	id := l.Message().ID
	assert.Regexp(t, `^msg_[\w-]{22}$`, id)
	assert.WithinDuration(t, r.Timestamp, l.Message().CreatedAt, 0)
	require.NoError(t, q.Close())

	q = openQueue(t, brokers, prefix)
	l = receive(t, q)
	assert.Equal(t, id, l.Message().ID, "it is the same after a crash")
	settle(t, l, retrying(time.Now()))
	l = receive(t, q)
	assert.Equal(t, id, l.Message().ID, "and on the next attempt")
	assert.Equal(t, 1, l.Message().Attempts)
	assert.WithinDuration(t, r.Timestamp, l.Message().CreatedAt, 0)
	settle(t, l, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired})
	assert.Equal(t, "00-1", headers(deadLetters(t, q, 1)[0])["traceparent"], "headers of others stay with it")
}

// One instance speaks to a host, however the producers find a partition.
func TestMessageInAnotherPartitionIsMoved(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix())
	for p := range int32(3) {
		produceRaw(t, q, &kgo.Record{
			Partition: p, Key: []byte("else"), Value: []byte("{}"),
			Headers: rawHeaders("url", "https://example.com/", "id", fmt.Sprintf("msg_%d", p), "not-before", time.Now().Add(300*time.Millisecond).Format(time.RFC3339Nano)),
		})
	}
	places := map[int32]int{}
	for _, l := range take(t, q, 3) {
		places[l.(*lease).entry.part.partition]++
		settle(t, l, delivered)
	}
	home := homes{newHash()}.of("example.com:443", 3)
	assert.Equal(t, map[int32]int{home: 3}, places)
	drained(t, q)
	nothing(t, q)
}

// When partitions were added, messages follow their hosts.
func TestPartitionsAreAdded(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix(), WithPartitions(1))
	var msgs []*signpost.Message
	for i := range 40 {
		msgs = append(msgs, messageTo(fmt.Sprintf("https://h%d.example/", i), fmt.Sprintf("msg_%d", i)))
	}
	enqueue(t, q, msgs...)
	_, err := q.admin.UpdatePartitions(ctx, 5, q.config.ready())
	require.NoError(t, err)
	require.NoError(t, q.Close())

	q = openQueue(t, q.brokers, q.config.prefix, WithPartitions(5))
	for _, l := range take(t, q, len(msgs)) {
		e := l.(*lease).entry
		assert.Equal(t, homes{newHash()}.of(e.host, 5), e.part.partition, e.host)
		settle(t, l, delivered)
	}
	drained(t, q)
	nothing(t, q)
}

func TestMessageThatIsTooLarge(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix())
	s := newScene(t)
	d := s.dispatcher(q, signpost.WithMaxPayload(4<<20))
	_, err := d.Send(t.Context(), "https://example.com/", []byte(`"`+strings.Repeat("a", 3<<20)+`"`))
	require.ErrorIs(t, err, ErrTooLarge)
	assert.ErrorContains(t, err, "at most 2097152 are allowed (WithMaxBytes)")
	m := messageTo("https://example.com/", "msg_large")
	m.Payload = []byte(`"` + strings.Repeat("a", 2<<20-100) + `"`)
	enqueue(t, q, m)

	// Somebody has made the topic's limit smaller since.
	small := "100000"
	_, err = q.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &small}}, q.config.ready())
	require.NoError(t, err)
	m.Payload = noise(1 << 20)
	eventually(t, func() bool { return q.Enqueue(ctx, m) != nil }, "the topic takes no large messages any more")
	assert.ErrorIs(t, q.Enqueue(ctx, m), ErrTooLarge)
}

// noise is JSON that can't be compressed.
func noise(n int) []byte {
	b := make([]byte, 0, n+2)
	b = append(b, '"')
	for x := uint32(1); len(b) <= n; x = x*1664525 + 1013904223 {
		b = append(b, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[x>>26])
	}
	return append(b, '"')
}

// An instance that only sends is no member of the group, which would give it partitions.
func TestSenderDoesNotJoin(t *testing.T) {
	brokers, prefix := sharedBrokers(t), newPrefix()
	sender := openQueue(t, brokers, prefix)
	enqueue(t, sender, messages("https://example.com/", "msg", 10)...)
	groups, err := sender.admin.ListGroups(ctx)
	require.NoError(t, err)
	assert.NotContains(t, groups, prefix)

	q := openQueue(t, brokers, prefix)
	take(t, q, 10)
	groups, err = sender.admin.ListGroups(ctx)
	require.NoError(t, err)
	assert.Contains(t, groups, prefix)
}

// What is finished is deleted, and what isn't stays.
func TestTrim(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix(), WithPartitions(1))
	enqueue(t, q, messages("https://example.com/", "msg", 10)...)
	all := take(t, q, 10)
	for id, l := range all {
		if id != "msg-7" {
			settle(t, l, delivered)
		}
	}
	q.trim(ctx, q.assigned())
	offsets, err := q.admin.ListStartOffsets(ctx, q.config.ready())
	require.NoError(t, err)
	o, _ := offsets.Lookup(q.config.ready(), 0)
	assert.Equal(t, all["msg-7"].(*lease).entry.offset, o.Offset)
	settle(t, all["msg-7"], delivered)
	require.NoError(t, q.Close())

	q = openQueue(t, q.brokers, q.config.prefix, WithPartitions(1))
	offsets, err = q.admin.ListStartOffsets(ctx, q.config.ready())
	require.NoError(t, err)
	o, _ = offsets.Lookup(q.config.ready(), 0)
	assert.Equal(t, int64(10), o.Offset, "Close does it, too")
	nothing(t, q)
}

func TestHealthy(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix())
	require.NoError(t, q.Healthy(t.Context()))
	require.NoError(t, q.Close())
	require.ErrorIs(t, q.Healthy(t.Context()), ErrClosed)
}
