package kafka

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func openError(t *testing.T, brokers []string, opts ...Option) error {
	t.Helper()
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q, err := Open(within, brokers, append([]Option{WithLogger(quiet)}, opts...)...)
	if err == nil {
		q.Close()
	}
	require.Error(t, err)
	require.NoError(t, within.Err(), "it is final, and comes at once")
	return err
}

func TestTopicsThatDiffer(t *testing.T) {
	brokers, prefix := sharedBrokers(t), newPrefix()
	q := openQueue(t, brokers, prefix)
	err := openError(t, brokers, WithPrefix(prefix), WithPartitions(8), WithMaxBytes(3<<20))
	require.ErrorIs(t, err, ErrTopology)
	for _, says := range []string{
		"topic " + prefix + ".ready has 3 partitions, not 8 or more", "topic " + prefix + ".delay.1h has 1 partitions, not 2 or more",
		"topic " + prefix + ".dead has max.message.bytes=2228224, not 3276800", "kafka-configs.sh",
	} {
		assert.ErrorContains(t, err, says)
	}

	week := "604800000"
	_, err = q.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &week}},
		q.config.delay(0), q.config.dead())
	require.NoError(t, err)
	err = openError(t, brokers, WithPrefix(prefix), WithPartitions(3))
	require.ErrorIs(t, err, ErrTopology)
	assert.ErrorContains(t, err, "topic "+prefix+".delay.1s has retention.ms=604800000, not -1")
	assert.NotContains(t, err.Error(), prefix+".dead", "how long dead letters are kept is the operator's to say")
}

// Smaller demands than what is there are met.
func TestTopicsThatAreMoreThanEnough(t *testing.T) {
	brokers, prefix := sharedBrokers(t), newPrefix()
	openQueue(t, brokers, prefix, WithPartitions(8))
	openQueue(t, brokers, prefix, WithPartitions(2), WithMaxBytes(1<<20))
}

func TestOpenByManyAtOnce(t *testing.T) {
	brokers, prefix := sharedBrokers(t), newPrefix()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			q, err := Open(ctx, brokers, WithPrefix(prefix), WithPartitions(2), WithLogger(quiet))
			if assert.NoError(t, err) {
				assert.NoError(t, q.Close())
			}
		})
	}
	wg.Wait()
}

func TestTopicsThatCannotBe(t *testing.T) {
	brokers := sharedBrokers(t)
	err := openError(t, brokers, WithPrefix(newPrefix()), WithReplication(3))
	assert.ErrorContains(t, err, "INVALID_REPLICATION_FACTOR")
	prefix := newPrefix()
	openQueue(t, brokers, prefix+"_a")
	err = openError(t, brokers, WithPrefix(prefix+".a"))
	assert.ErrorContains(t, err, "collides with existing topic")
}

func TestOptions(t *testing.T) {
	_, err := Open(ctx, []string{"", "kafka://user:secret@host"}, WithPrefix("a b"), WithPartitions(0), WithReplication(-1), WithMaxBytes(1),
		WithPrefetch(1), WithLogger(nil), nil)
	for _, says := range []string{
		`kafka: Open: broker ""`, `kafka: WithPrefix("a b")`, "kafka: WithPartitions(0)", "kafka: WithReplication(-1)", "kafka: WithMaxBytes(1)",
		"kafka: WithPrefetch(1)", "kafka: WithLogger: logger nil", "kafka: option 7 of 7 is nil",
	} {
		assert.ErrorContains(t, err, says)
	}
	_, err = Open(ctx, nil, WithPrefix(strings.Repeat("a", 300)))
	assert.ErrorContains(t, err, "kafka: Open: no brokers")
	_, err = Open(ctx, []string{"127.0.0.1:1"}, WithClientOptions(kgo.SessionTimeout(-1)))
	assert.Error(t, err)
}
