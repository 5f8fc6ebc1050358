// Package disk knows the disk that durable queues are measured on.
package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// Check returns an error if files in a folder are not on a disk.
func Check(folder string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return fmt.Errorf("folder %s: %w", folder, err)
	}
	if s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC {
		return fmt.Errorf("folder %s is in memory, where to be durable costs nothing: give one on a disk", folder)
	}
	return nil
}

const block = 4 << 10 // bytes; about what a small transaction writes

// Fsync returns how long the disk takes for a write of 4 KiB and an fsync, in the median of n of them. They overwrite a
// file, as SQLite does with a log that it has begun anew.
func Fsync(folder string, n int) (time.Duration, error) {
	f, err := os.CreateTemp(folder, "signpost-bench-fsync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const blocks = 256
	if _, err := f.Write(make([]byte, blocks*block)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	b := make([]byte, block)
	var took []time.Duration
	for i := range n {
		b[0] = byte(i)
		start := time.Now()
		if _, err := f.WriteAt(b, int64(i%blocks*block)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return result.Median(took), nil
}

const program = "strace"

// ErrMissing says that there is no strace on this machine.
var ErrMissing = errors.New(program + " is not in PATH: install it, on Debian and Ubuntu by `apt-get install strace`")

// Slow returns the command before a program's name that lets each of its fsyncs take so much longer, as on a slower disk:
// strace(1) holds the calling thread back, and all other system calls go untraced. It returns why if that can't be done here.
func Slow(delay time.Duration) ([]string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, ErrMissing
	}
	command := []string{path, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "signal=none",
		"-e", fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", delay.Microseconds())}
	// Containers often forbid tracing, and versions before 5.3 don't know all of this.
	try := append(command[1:len(command):len(command)], "true")
	if out, err := exec.Command(path, try...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s can't trace programs here: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return command, nil
}
