// Package leak finds goroutines of the library that outlive the tests.
package leak

import (
	"runtime"
	"slices"
	"strings"
	"time"
)

// Goroutines waits, no longer than patience, for goroutines of signpost's packages and their tests to end, and returns the
// stacks of those that stay. The one that calls it doesn't count, nor do those with one of the given functions in their stack.
func Goroutines(patience time.Duration, except ...string) string {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		left := slices.DeleteFunc(others(), func(stack string) bool {
			return !strings.Contains(stack, "signpost-go/signpost") ||
				slices.ContainsFunc(except, func(name string) bool { return strings.Contains(stack, name) })
		})
		if len(left) == 0 || time.Now().After(end) {
			return strings.Join(left, "\n\n")
		}
	}
}

// others returns the stacks of all goroutines but this one.
func others() []string {
	for buf := make([]byte, 1<<20); ; buf = make([]byte, 2*len(buf)) {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return strings.Split(string(buf[:n]), "\n\n")[1:]
		}
	}
}
