package disk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/disk"
)

func TestCheck(t *testing.T) {
	assert.ErrorContains(t, disk.Check("/dev/shm"), "/dev/shm is in memory")
	assert.ErrorIs(t, disk.Check(filepath.Join(t.TempDir(), "missing")), os.ErrNotExist)
	here, err := os.Getwd()
	require.NoError(t, err)
	assert.NoError(t, disk.Check(here))
}

func TestFsync(t *testing.T) {
	folder := t.TempDir()
	took, err := disk.Fsync(folder, 300)
	require.NoError(t, err)
	assert.Positive(t, took)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Empty(t, left, "nothing stays behind")

	_, err = disk.Fsync(filepath.Join(folder, "missing"), 1)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// slow skips the test where programs can't be traced.
func slow(t *testing.T, delay time.Duration) []string {
	t.Helper()
	command, err := disk.Slow(delay)
	if err != nil {
		t.Skip(err)
	}
	return command
}

// A test program that syncs does so later under the command; it is this one.
func TestSlow(t *testing.T) {
	if folder := os.Getenv("SYNC_IN"); folder != "" {
		took, err := disk.Fsync(folder, 3)
		require.NoError(t, err)
		require.GreaterOrEqual(t, took, 30*time.Millisecond)
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	command := append(slow(t, 30*time.Millisecond), self, "-test.run", "^TestSlow$", "-test.v")
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "SYNC_IN="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: TestSlow")
}

func TestWithoutStrace(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := disk.Slow(time.Millisecond)
	assert.ErrorIs(t, err, disk.ErrMissing)
}

func TestAStraceThatMayNotTrace(t *testing.T) {
	folder := t.TempDir()
	script := "#!/bin/sh\necho not permitted\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "strace"), []byte(script), 0o700))
	t.Setenv("PATH", folder)
	_, err := disk.Slow(time.Millisecond)
	assert.ErrorContains(t, err, "can't trace programs here")
	assert.ErrorContains(t, err, "not permitted")
}
