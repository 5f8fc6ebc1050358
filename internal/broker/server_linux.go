package broker

import (
	"errors"
	"os"
	"syscall"
)

// attributes have a program lead a group of processes, and end with the one that has started it, however that ends.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func kill(group int) error      { return signal(group, syscall.SIGKILL) }
func terminate(group int) error { return signal(group, syscall.SIGTERM) }
func freeze(group int) error    { return signal(group, syscall.SIGSTOP) }
func thaw(group int) error      { return signal(group, syscall.SIGCONT) }

// alive reports whether any process of the group is left.
func alive(group int) bool { return syscall.Kill(-group, 0) == nil }

func signal(group int, s syscall.Signal) error {
	err := syscall.Kill(-group, s)
	if errors.Is(err, syscall.ESRCH) { // it has ended already
		return nil
	}
	return os.NewSyscallError("kill", err)
}
