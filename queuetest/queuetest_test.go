package queuetest

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/memqueue"
)

func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); code == 0 && n > before {
		fmt.Fprintf(os.Stderr, "%d goroutines were left by the tests\n", n-before)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		code = 1
	}
	os.Exit(code)
}

func TestMemqueue(t *testing.T) {
	Run(t, func(*testing.T) Harness { return inMemory() })
}

func TestMemqueueThatHolds(t *testing.T) {
	Run(t, func(*testing.T) Harness {
		var q memqueue.Holding
		return Harness{Open: func(testing.TB) signpost.Queue {
			if q.Queue == nil {
				q = memqueue.NewHolding()
			} else {
				q = q.Reopen()
			}
			return q
		}}
	})
}

func inMemory() Harness {
	var q *memqueue.Queue
	return Harness{Open: func(testing.TB) signpost.Queue {
		if q == nil {
			q = memqueue.New()
		} else {
			q = q.Reopen()
		}
		return q
	}}
}
