// Package redis runs a Redis server for a while.
package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/signpost-go/signpost/bench/internal/usage"
)

const program = "redis-server"

// ErrMissing says that there is no Redis server on this machine.
var ErrMissing = errors.New(program + " is not in PATH: install it, on Debian and Ubuntu by `apt-get install redis-server`")

// Installed tells whether there is one.
func Installed() bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Config says how a server keeps what it is given.
type Config struct {
	Folder string // below which its folder is; empty: that for temporary files
	Fsync  string // appendfsync of its log: always or everysec; empty: there is no log, everything is in memory only
}

// A Server is a running Redis server. It takes no snapshots, listens on a Unix socket only, and dies with this process.
type Server struct {
	cmd    *exec.Cmd
	folder string
	output bytes.Buffer
	ended  chan struct{}
}

// Start starts a server and returns when it can be connected to.
func Start(ctx context.Context, c Config) (*Server, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, ErrMissing
	}
	folder, err := os.MkdirTemp(c.Folder, "signpost-bench-redis-")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, ended: make(chan struct{})}
	arguments := []string{"--port", "0", "--unixsocket", s.Socket(), "--dir", folder, "--save", "", "--appendonly", "no"}
	if c.Fsync != "" {
		arguments = append(arguments[:len(arguments)-1], "yes", "--appendfsync", c.Fsync)
	}
	s.cmd = exec.Command(path, arguments...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		os.RemoveAll(folder)
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	go func() {
		defer close(s.ended)
		s.cmd.Wait()
	}()
	if err := s.await(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("starting %s: %w; it said:\n%s", path, err, s.output.String())
	}
	return s, nil
}

// await returns when the server accepts connections.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("it doesn't listen after 10 s"))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", s.Socket()); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Socket is the path of the socket to connect to.
func (s *Server) Socket() string { return filepath.Join(s.folder, "socket") }

// CPU is the processor time that the server has taken so far. Linux counts it in hundredths of a second.
func (s *Server) CPU() (time.Duration, error) { return usage.Of(s.cmd.Process.Pid) }

// Close ends the server, and what it held is gone.
func (s *Server) Close() error {
	s.cmd.Process.Kill()
	<-s.ended
	return os.RemoveAll(s.folder)
}

// Version returns the version of the server that Start would start.
func Version(ctx context.Context) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", ErrMissing
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	for field := range strings.FieldsSeq(string(out)) {
		if v, ok := strings.CutPrefix(field, "v="); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("%s --version: there is no version in %q", path, out)
}
