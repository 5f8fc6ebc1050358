// Package faults is a list of what can go wrong with a durable queue and the machine below it, and a test for each: that
// the queue does what docs/reliability.md says, and that nothing that was accepted is lost.
//
// It has nothing but tests: go test -run Fault -v ./faults lists them.
package faults
