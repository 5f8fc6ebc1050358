package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A child is the process of the receivers, as seen by the one that sends.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	book  addressBook
	roots *x509.CertPool
}

// startChild starts this program again, as receivers, and waits until they listen.
func startChild(o order, stderr io.Writer) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self), roots: x509.NewCertPool()}
	c.cmd.Env = append(os.Environ(), receiversEnv+"=1")
	c.cmd.Stderr = stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReaderSize(out, 64<<10)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if err := c.meet(o); err != nil {
		c.in.Close()
		c.cmd.Wait()
		return nil, fmt.Errorf("receivers: %w", err)
	}
	return c, nil
}

func (c *child) meet(o order) error {
	if err := json.NewEncoder(c.in).Encode(o); err != nil {
		return err
	}
	first, err := c.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err := json.Unmarshal(first, &c.book); err != nil {
		return err
	}
	root, err := x509.ParseCertificate(c.book.Root)
	if err != nil {
		return err
	}
	c.roots.AddCert(root)
	return nil
}

// listen calls f with every line until the child ends.
func (c *child) listen(f func(line)) error {
	for {
		s, err := c.out.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l, err := parseLine(strings.TrimSuffix(s, "\n"))
		if err == nil && l.place >= len(c.book.Places) {
			err = fmt.Errorf("line %q: there is no such place", s)
		}
		if err != nil {
			return err
		}
		f(l)
	}
}

// recover lets all receivers recover.
func (c *child) recover() error {
	_, err := fmt.Fprintln(c.in, recoverAll)
	return err
}

// end lets the child end, once listen has returned. It returns the CPU time that it took.
func (c *child) end() (time.Duration, error) {
	err := c.cmd.Wait()
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime(), err
}
