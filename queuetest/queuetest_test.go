package queuetest

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
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

// It is memqueue's Queue otherwise, for which TestMemqueue stands.
func TestMemqueueThatHolds(t *testing.T) {
	for _, c := range checks() {
		if !strings.Contains(c.name, "Hold") && !strings.Contains(c.name, "held") && !strings.Contains(c.name, "with holds") {
			continue
		}
		var q memqueue.Holding
		t.Run(c.name, func(t *testing.T) {
			c.do(t, Harness{Open: func(testing.TB) signpost.Queue {
				if q.Queue == nil {
					q = memqueue.NewHolding()
				} else {
					q = q.Reopen()
				}
				return q
			}}, patient())
		})
	}
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
