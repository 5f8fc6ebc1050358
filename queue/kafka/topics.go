package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/signpost-go/signpost/internal/ladder"
)

func (c *config) ready() string { return c.prefix + ".ready" }
func (c *config) dead() string  { return c.prefix + ".dead" }

// delay is the topic of a step.
func (c *config) delay(step int) string { return c.prefix + ".delay." + ladder.Name(c.steps[step]) }

// consumed are the topics that messages are taken from.
func (c *config) consumed() []string {
	topics := []string{c.ready()}
	for i := range c.steps {
		topics = append(topics, c.delay(i))
	}
	return topics
}

// step returns the step of a topic that messages wait in, and -1 for another.
func (c *config) step(topic string) int {
	for i := range c.steps {
		if c.delay(i) == topic {
			return i
		}
	}
	return -1
}

// maxBatch is the max.message.bytes that a topic needs. What is written onward has more headers than what was enqueued, and
// a dead letter has more than that.
func (c *config) maxBatch(topic string) int32 {
	if topic == c.dead() {
		return int32(c.maxBytes + 2*room)
	}
	return int32(c.maxBytes + room)
}

func (c *config) partitionsOf(topic string) int {
	if topic == c.ready() {
		return c.partitions
	}
	return max(1, c.partitions/4)
}

// settings are what a topic is created with. The queue itself deletes what is finished. Time must not: a message may wait for
// longer than any retention.
func (c *config) settings(topic string) map[string]string {
	return map[string]string{
		"cleanup.policy":    "delete",
		"retention.ms":      "-1",
		"retention.bytes":   "-1",
		"max.message.bytes": strconv.Itoa(int(c.maxBatch(topic))),
	}
}

// declare creates the topics that are missing, and vets those that are there. It returns the cluster's ID and how many
// partitions the ready topic has.
func (c *config) declare(
	ctx context.Context, client *kgo.Client, admin *kadm.Client,
) (cluster string, partitions int, err error) {
	topics := append(c.consumed(), c.dead())
	req := kmsg.NewPtrMetadataRequest() // the admin client's own may be answered from its memory
	for _, topic := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		req.Topics = append(req.Topics, t)
	}
	there, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", 0, err
	}
	var problems []error
	var old, missing []string
	for _, d := range there.Topics {
		topic := *d.Topic
		switch err := kerr.ErrorForCode(d.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, topic)
		case err != nil:
			return "", 0, fmt.Errorf("topic %s: %w", topic, err)
		default:
			old = append(old, topic)
			if topic == c.ready() {
				partitions = len(d.Partitions)
			}
			if n, need := len(d.Partitions), c.partitionsOf(topic); n < need {
				problems = append(problems, fmt.Errorf("topic %s has %d partitions, not %d or more", topic, n, need))
			}
		}
	}
	if len(missing) > 0 {
		return "", 0, c.create(ctx, admin, missing)
	}
	if err := c.vet(ctx, admin, old, &problems); err != nil {
		return "", 0, err
	}
	if len(problems) > 0 {
		return "", 0, fmt.Errorf(
			"%w: change them with kafka-topics.sh and kafka-configs.sh, or Open with other options or another prefix:\n%w", ErrTopology, errors.Join(problems...))
	}
	if there.ClusterID != nil {
		cluster = *there.ClusterID
	}
	return cluster, partitions, nil
}

// errCreated says that declare must look again.
var errCreated = errors.New("topics were created")

// create creates topics, and returns errCreated. Somebody else may do so at the same time.
func (c *config) create(ctx context.Context, admin *kadm.Client, topics []string) error {
	alike := map[string][]string{}
	for _, t := range topics {
		key := fmt.Sprint(c.partitionsOf(t), c.settings(t))
		alike[key] = append(alike[key], t)
	}
	for _, topics := range alike {
		settings := map[string]*string{}
		for k, v := range c.settings(topics[0]) {
			settings[k] = &v
		}
		all, err := admin.CreateTopics(ctx, int32(c.partitionsOf(topics[0])), int16(c.replication), settings, topics...)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Err != nil && !errors.Is(r.Err, kerr.TopicAlreadyExists) {
				return fmt.Errorf("create topic %s: %w: %s", r.Topic, r.Err, r.ErrMessage)
			}
		}
	}
	return errCreated
}

// vet compares the settings of topics that are there.
func (c *config) vet(ctx context.Context, admin *kadm.Client, topics []string, problems *[]error) error {
	all, err := admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return err
	}
	for _, t := range all {
		if t.Err != nil {
			return fmt.Errorf("read the settings of topic %s: %w", t.Name, t.Err)
		}
		need := c.settings(t.Name)
		if t.Name == c.dead() { // how long dead letters are kept is the operator's to say
			delete(need, "retention.ms")
			delete(need, "retention.bytes")
		}
		for _, s := range t.Configs {
			want, ok := need[s.Key]
			if ok && !isEnough(s.Key, s.MaybeValue(), want) {
				*problems = append(*problems, fmt.Errorf("topic %s has %s=%s, not %s", t.Name, s.Key, s.MaybeValue(), want))
			}
		}
	}
	slices.SortFunc(*problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return nil
}

func isEnough(key, have, want string) bool {
	if key != "max.message.bytes" {
		return have == want
	}
	h, err1 := strconv.Atoi(have)
	w, err2 := strconv.Atoi(want)
	return err1 == nil && err2 == nil && h >= w
}
