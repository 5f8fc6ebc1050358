package kafka

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost"
)

func TestAPartitionThatIsNotCommittedIsNoFailureOfOthers(t *testing.T) {
	bad := 0
	for range 50 {
		c, err := newConfig([]string{"nowhere:1"}, []Option{WithLogger(quiet)})
		require.NoError(t, err)
		q := newQueue(c, nil)
		begun, failed := map[place]*progress{}, map[place]error{}
		for i := range int32(4) {
			p := newPartition(place{"ready", i}, -1)
			p.water.start(5, nil)
			q.parts[p.place] = p
			begun[p.place] = p.begin(4096)
			if i == 0 {
				failed[p.place] = errors.New("refused")
			}
		}
		_ = q.committed(begun, failed, nil)
		for at, c := range begun {
			if at.partition != 0 && c.part.committed != 5 {
				bad++
			}
		}
	}
	assert.Zero(t, bad, "partitions of 150 that were committed and count as not committed")
}

func TestWhatIsLargerThanTheDeadTopicTakesBlocksNothing(t *testing.T) {
	q := openQueue(t, sharedBrokers(t), newPrefix(), WithPartitions(1))
	c, err := kgo.NewClient(kgo.SeedBrokers(q.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DisableClientMetrics(),
		kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(32<<20))
	require.NoError(t, err)
	defer c.Close()
	big := bytes.Repeat([]byte("a"), 5<<20)
	odd := &kgo.Record{Topic: q.config.ready(), Value: big}
	fine := &kgo.Record{Topic: q.config.ready(), Value: big, Headers: []kgo.RecordHeader{{Key: "url", Value: []byte("https://a.example/")}}}
	require.NoError(t, c.ProduceSync(ctx, odd, fine).FirstErr())
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if l, err := q.Receive(within); err == nil {
		assert.NoError(t, l.Settle(within, signpost.Outcome{State: signpost.Dead, Reason: signpost.ErrExpired}))
	}
	assert.Eventually(t, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		p := q.parts[place{q.config.ready(), 0}]
		return p != nil && p.water.base == 2
	}, 8*time.Second, 50*time.Millisecond, "both are finished")
}

func TestOpenDoesNotShowAPassword(t *testing.T) {
	_, err := Open(ctx, []string{"kafka://user:secret@kafka-1:9092"})
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
}

func TestACommitFromBeforeAPartitionWasCutBackIsNotTrimmed(t *testing.T) {
	c, err := newConfig([]string{"nowhere:1"}, []Option{WithLogger(quiet)})
	require.NoError(t, err)
	q := newQueue(c, nil)
	p := newPartition(place{"ready", 0}, -1)
	p.water.start(100, nil)
	q.parts[p.place] = p
	begun := map[place]*progress{p.place: p.begin(4096)}
	q.rewind(p, 0)
	require.NoError(t, q.committed(begun, nil, nil))
	assert.LessOrEqual(t, p.committed, p.water.base, "what is trimmed is finished")
	assert.True(t, p.dirty, "the brokers hear of it")
}
