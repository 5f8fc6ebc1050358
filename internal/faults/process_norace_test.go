//go:build !race

package faults

// manyHostsCount is how many hosts are many.
const manyHostsCount = 100_000
