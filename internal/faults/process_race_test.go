//go:build race

package faults

// manyHostsCount is how many hosts are many. The race detector makes each some five times as dear.
const manyHostsCount = 30_000
