package queuetest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A recorder stands in for the test in which a check runs that should fail. What it doesn't override goes to
// the real one.
type recorder struct {
	testing.TB
	mu       sync.Mutex // protects the following fields
	failures []string
	failed   bool
	skipped  bool
	cleanups []func()
}

// record runs a check on a goroutine of its own, and waits until it and what it has given to Cleanup have ended.
func record(t *testing.T, c check, h Harness, l limits) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.cleanUp()
		c.do(r, h, l)
	}()
	<-done
	return r
}

// cleanUp calls them all, even if one ends the goroutine.
func (r *recorder) cleanUp() {
	for _, f := range r.cleanups { // the last is the first to be called
		defer f()
	}
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.failures, "\n")
}

func (r *recorder) fail(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.failures = append(r.failures, text)
}

func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Helper()                           {}
func (r *recorder) Error(args ...any)                 { r.fail(fmt.Sprintln(args...)) }
func (r *recorder) Errorf(format string, args ...any) { r.fail(fmt.Sprintf(format, args...)) }
func (r *recorder) Fail()                             { r.fail("") }
func (r *recorder) FailNow()                          { r.fail(""); runtime.Goexit() }
func (r *recorder) Fatal(args ...any)                 { r.Error(args...); runtime.Goexit() }
func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}
