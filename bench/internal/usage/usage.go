// Package usage says what a process has used.
package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
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
	s, err := read(pid)
	return s.own, err
}

// Below returns the processor time that the processes below another one in the tree have taken so far: its children, theirs
// and so on, and those of them that have ended, if their parent has waited for them and is still there.
func Below(pid int) (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	all := map[int]stat{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // it is no process
		}
		s, err := read(n)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it has just ended
		case err != nil:
			return 0, err
		default:
			all[n] = s
		}
	}
	var total time.Duration
	for _, s := range all {
		for above, depth := s.parent, 0; above > 1 && depth < len(all); depth++ { // what was read at several times may have circles
			if above == pid {
				total += s.own + s.waited
				break
			}
			above = all[above].parent
		}
	}
	return total, nil
}

// stat is a part of what Linux tells of a process.
type stat struct {
	parent      int
	own, waited time.Duration // processor time: its own, and that of its children for which it has waited
}

func read(pid int) (s stat, err error) {
	file := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	// proc_pid_stat(5): the second field is a name in parentheses, which may hold anything; ppid is the 4th; utime, stime,
	// cutime and cstime are the 14th to 17th, in ticks of which the kernel counts 100 a second for all programs.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 15 {
		return s, fmt.Errorf("%s: it has %d fields after the name", file, len(fields))
	}
	var numbers [5]int64
	for i, f := range append(fields[1:2:2], fields[11:15]...) {
		if numbers[i], err = strconv.ParseInt(string(f), 10, 64); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
	}
	const tick = time.Second / 100
	return stat{int(numbers[0]), time.Duration(numbers[1]+numbers[2]) * tick, time.Duration(numbers[3]+numbers[4]) * tick}, nil
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
