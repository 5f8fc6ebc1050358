package kafka

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// anyPartition, as a record's partition, leaves it to its key.
const anyPartition = -1

// A partitioner puts a record where it says, or where the Java client does that has the same key.
type partitioner struct {
	ready      string
	partitions *atomic.Int32 // of the ready topic, as far as is known
}

func (p *partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	t := &topicPartitioner{byKey: newHash()}
	if topic == p.ready {
		t.partitions = p.partitions
	}
	return t
}

type topicPartitioner struct {
	byKey      kgo.TopicPartitioner
	partitions *atomic.Int32
}

func (t *topicPartitioner) RequiresConsistency(*kgo.Record) bool { return true }

func (t *topicPartitioner) Partition(r *kgo.Record, n int) int {
	if t.partitions != nil {
		t.partitions.Store(int32(n))
	}
	if r.Partition >= 0 && int(r.Partition) < n {
		return int(r.Partition)
	}
	return t.byKey.Partition(r, n)
}

// newHash returns what finds the partition of a key, as the Java client does: by murmur2.
func newHash() kgo.TopicPartitioner { return kgo.StickyKeyPartitioner(nil).ForTopic("") }

// A homes finds the partition of a host.
type homes struct{ hash kgo.TopicPartitioner }

func (h homes) of(host string, partitions int) int32 {
	return int32(h.hash.Partition(&kgo.Record{Key: []byte(host)}, partitions))
}
