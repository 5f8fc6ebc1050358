package kafka

import (
	"testing"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queuetest"
)

func TestContract(t *testing.T) {
	brokers := sharedBrokers(t)
	queuetest.Run(t, func(*testing.T) queuetest.Harness {
		prefix := newPrefix()
		return queuetest.Harness{
			Open:    func(t testing.TB) signpost.Queue { return openQueue(t, brokers, prefix) },
			Late:    fetchWait, // what comes from a delay topic goes by way of the brokers, and they may be busy with a fetch
			Partial: true,      // a batch goes to several partitions, and each has its own part of it
		}
	})
}
