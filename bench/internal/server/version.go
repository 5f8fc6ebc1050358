package server

import (
	"context"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/signpost-go/signpost/internal/broker"
)

var rabbitMQVersion = regexp.MustCompile(`RabbitMQ (\d+\.\d+[.\d]*)`)

// version returns the version of a broker: RabbitMQ's log has it, and Kafka's is known from what it can be asked. It is
// empty if neither helps.
func version(kind, address string, b *broker.Server) string {
	if kind == RabbitMQ {
		if m := rabbitMQVersion.FindStringSubmatch(b.Log()); m != nil {
			return m[1]
		}
		return ""
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return ""
	}
	defer client.Close()
	all, err := kadm.NewClient(client).ApiVersions(context.Background())
	if err != nil {
		return ""
	}
	for _, v := range all.Sorted() {
		return strings.TrimPrefix(v.VersionGuess(), "v")
	}
	return ""
}
