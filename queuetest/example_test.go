package queuetest_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queuetest"
)

// openFile stands for the constructor of the queue that is tested.
func openFile(string) (signpost.Queue, error) { return fileQueue{}, nil }

type fileQueue struct{}

func (fileQueue) Enqueue(context.Context, ...*signpost.Message) error { return nil }
func (fileQueue) Receive(ctx context.Context) (signpost.Lease, error) { return nil, ctx.Err() }
func (fileQueue) Close() error                                        { return nil }

// The whole test of a queue that keeps its messages in a file.
func ExampleRun() {
	testQueue := func(t *testing.T) {
		queuetest.Run(t, func(t *testing.T) queuetest.Harness {
			path := filepath.Join(t.TempDir(), "queue")
			return queuetest.Harness{Open: func(t testing.TB) signpost.Queue {
				q, err := openFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return q
			}}
		})
	}
	_ = testQueue // TestQueue in the package of the queue
}
