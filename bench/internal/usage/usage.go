// Package usage says what a process has used.
package usage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is processor time.
type CPU struct{ User, System time.Duration }

// Own returns the processor time that this process has taken so far.
func Own() CPU {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		panic("usage: getrusage: " + err.Error()) // it fails for invalid arguments only
	}
	return CPU{time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())}
}

// Sub returns what was taken between before and c.
func (c CPU) Sub(before CPU) CPU { return CPU{c.User - before.User, c.System - before.System} }

// Total is all of it.
func (c CPU) Total() time.Duration { return c.User + c.System }

// Of returns the processor time that another process has taken so far, user and system. Linux counts it in
// hundredths of a second.
func Of(pid int) (time.Duration, error) {
	file := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): the second field is a name in parentheses, which may hold anything; utime and stime are the
	// 14th and 15th, in ticks of which the kernel counts 100 a second for all programs.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("%s: it has %d fields after the name", file, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// PeakMemory returns the most resident bytes that this process had.
func PeakMemory() (int64, error) {
	const file, field = "/proc/self/status", "VmHWM:"
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", file, err)
			}
			return kilobytes << 10, nil
		}
	}
	return 0, fmt.Errorf("%s: there is no %s", file, field)
}
