package main

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"
)

// A reading is what this process holds.
type reading struct {
	heap       int64 // bytes of live objects
	goroutines int
	files      int // open ones; unknown where the system doesn't tell
}

const unknown = -1

// read returns what is held now; of the heap, what was live at the last garbage collection.
func read() reading {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return reading{int64(sample[0].Value.Uint64()), runtime.NumGoroutine(), openFiles()}
}

// readClean returns what is held once all garbage is collected.
func readClean() reading {
	runtime.GC()
	runtime.GC() // what a sync.Pool held
	return read()
}

// readSettled is read after what is about to end has had time to: a dial that net/http goes on with, say.
func readSettled(before reading) reading {
	r := read()
	for begin := time.Now(); time.Since(begin) < 15*time.Second; time.Sleep(100 * time.Millisecond) {
		if r = read(); r.goroutines <= before.goroutines && r.files <= before.files {
			break
		}
	}
	return r
}

// openFiles counts what Linux tells of.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return unknown
	}
	return len(entries) - 1 // the directory itself
}

// A meter keeps the peaks of readings.
type meter struct {
	mu   sync.Mutex // protects the following field
	peak reading
}

func (m *meter) read() reading {
	r := read()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peak = reading{max(m.peak.heap, r.heap), max(m.peak.goroutines, r.goroutines), max(m.peak.files, r.files)}
	return r
}

// measureLateness keeps how late a timer fires until ctx is done.
func (s *soak) measureLateness(ctx context.Context) {
	const interval = 10 * time.Millisecond
	for ctx.Err() == nil {
		begin := time.Now()
		time.Sleep(interval)
		s.lateness.add(time.Since(begin) - interval)
	}
}
