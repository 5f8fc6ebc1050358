//go:build !linux

package faults

import "testing"

const syncs = "fsync"

func onLinux(t *testing.T) {
	t.Skip("the machine's faults are made as Linux lets them be made, with its mounts and strace")
}

func killFirstOpenAtEachCall(t *testing.T)  { onLinux(t) }
func killAtEachCall(t *testing.T)           { onLinux(t) }
func diskFull(string, int) func(*testing.T) { return onLinux }
func diskFullAtOpen(t *testing.T)           { onLinux(t) }
func fileLimit(t *testing.T)                { onLinux(t) }
func readOnlyFile(t *testing.T)             { onLinux(t) }
func readOnlyFolder(t *testing.T)           { onLinux(t) }
func readOnlyFileSystem(t *testing.T)       { onLinux(t) }
func slowSync(t *testing.T)                 { onLinux(t) }
func failingCalls(string) func(*testing.T)  { return onLinux }
