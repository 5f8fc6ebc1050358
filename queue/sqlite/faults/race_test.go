//go:build race

package faults

// slowness is by how much less random faults are repeated: the race detector slows SQLite down, which is all Go here.
const slowness = 6
