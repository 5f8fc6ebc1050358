// Package faults is a list of what can go wrong between a service and its receivers, and a test for each: that signpost
// does what docs/reliability.md says, that a healthy neighbour doesn't notice, and that the ledger balances.
//
// It has nothing but tests: go test -run Fault -v ./internal/faults lists them.
package faults
