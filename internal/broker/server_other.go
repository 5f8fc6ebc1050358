//go:build !linux

package broker

import (
	"errors"
	"syscall"
)

// errElsewhere can't come up: nothing is started where processes can't be ended in groups.
var errElsewhere = errors.New("broker: servers are run on Linux only")

func attributes() *syscall.SysProcAttr { return nil }

func kill(int) error      { return errElsewhere }
func terminate(int) error { return errElsewhere }
func freeze(int) error    { return errElsewhere }
func thaw(int) error      { return errElsewhere }
func alive(int) bool      { return false }
