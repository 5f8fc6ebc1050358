// Package broker runs real message brokers as child processes, for tests, benchmarks and examples. Each has its data, ports and
// log to itself, and may be killed, frozen and started again.
package broker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrMissing says that a broker, or what it needs, isn't installed. What wraps it says how to get it.
var ErrMissing = errors.New("broker: not installed")

const (
	startTime = 2 * time.Minute  // for a server to start, on a busy machine
	stopTime  = 20 * time.Second // for one to stop by itself
	lookAgain = 20 * time.Millisecond
)

// A Server is a broker with its data in a folder of its own. Its methods are safe for concurrent use.
type Server struct {
	dir      string // an absolute path
	address  string
	programs []program // in the order in which they are started
	control  func(args ...string) (string, error)

	mu      sync.Mutex // protects running; held while the server is started and ended
	running []*process
}

// A program is a command that a server consists of.
type program struct {
	args    []string
	env     []string
	answers func(ctx context.Context) error // nil once it is ready
}

// A process is a program that was started, and leads a group of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Address is where clients connect to: a URL for RabbitMQ, host and port for Kafka.
func (s *Server) Address() string { return s.address }

// Start starts the server, again after Kill or Stop: with the same data, at the same address. It returns once the server
// answers.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.running) > 0 {
		return errors.New("broker: it was started already")
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	for _, p := range s.programs {
		if err := s.start(ctx, p); err != nil {
			return errors.Join(fmt.Errorf("broker: start %s: %w; it said:\n%s", filepath.Base(p.args[0]), err, tail(s.Log())), s.end(kill))
		}
	}
	return nil
}

// start requires that mu is held.
func (s *Server) start(ctx context.Context, p program) error {
	out, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, p.env, out, out, attributes()
	if err := cmd.Start(); err != nil {
		return err
	}
	r := &process{cmd: cmd, done: make(chan struct{})}
	s.running = append(s.running, r)
	go func() {
		defer close(r.done)
		_ = cmd.Wait() // how it ended is in its log
	}()
	for {
		err := p.answers(ctx)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-r.done:
			timer.Stop()
			return fmt.Errorf("it has ended: %v", cmd.ProcessState)
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("it does not answer within %v: %w", startTime, err)
		case <-timer.C:
		}
	}
}

// Kill ends the server as kill -9 does, and returns once it is gone.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(kill)
}

// Stop ends the server as an operator does, and whatever it has started. It may be started again.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.end(terminate); err == nil {
		return nil
	}
	return s.end(kill)
}

// end sends each process a signal, the one started last first, and waits for it. One that stays needs a harder signal. It
// requires that mu is held.
func (s *Server) end(signal func(group int) error) error {
	for len(s.running) > 0 {
		r := s.running[len(s.running)-1]
		if err := signal(r.cmd.Process.Pid); err != nil {
			return fmt.Errorf("broker: end %s: %w", s.dir, err)
		}
		if !r.gone() {
			return fmt.Errorf("broker: %s has not ended within %v", r.cmd.Path, stopTime)
		}
		s.running = s.running[:len(s.running)-1]
	}
	return nil
}

// gone waits for the process and all of its group to end, and reports whether they have.
func (r *process) gone() bool {
	limit := time.NewTimer(stopTime)
	defer limit.Stop()
	select {
	case <-r.done:
	case <-limit.C:
		return false
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for alive(r.cmd.Process.Pid) { // what it has started
		select {
		case <-tick.C:
		case <-limit.C:
			return false
		}
	}
	return true
}

// Freeze stops the server in its tracks, as SIGSTOP does: its connections stay open and nothing answers.
func (s *Server) Freeze() error { return s.signal(freeze) }

// Thaw has a frozen server go on.
func (s *Server) Thaw() error { return s.signal(thaw) }

func (s *Server) signal(signal func(group int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, r := range s.running {
		errs = append(errs, signal(r.cmd.Process.Pid))
	}
	return errors.Join(errs...)
}

// Log returns what the server has printed since it was first started.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "output.log") }

// tail is the end of a text.
func tail(s string) string {
	const most = 4 << 10
	if len(s) <= most {
		return s
	}
	return "…" + s[len(s)-most:]
}

// freePorts returns n TCP ports that nobody listens at now. They are below those that systems give to outgoing connections
// (Linux: 32768), one of which might be in the way when a server is started again.
func freePorts(n int) ([]int, error) {
	const from, to, tries = 12_000, 32_000, 1000
	var ports []int
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := from + rand.IntN(to-from)
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			continue
		}
		defer l.Close() // not before all are found, so that they differ
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("broker: no free port found between %d and %d", from, to)
}

// listening is an answers function for what listens at a port of 127.0.0.1. greet may be nil.
func listening(port int, greet func(net.Conn) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer conn.Close()
		if greet == nil {
			return nil
		}
		if end, ok := ctx.Deadline(); ok {
			if err := conn.SetDeadline(end); err != nil {
				return err
			}
		}
		return greet(conn)
	}
}

// environment is what a server's programs see: only what it takes to find other programs, and what is given, as
// "name=value". Settings of a server that the machine runs must not reach this one.
func environment(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, more...)
}

// settings are the lines of a configuration file, each of the given form.
func settings(form string, values map[string]string) string {
	var b strings.Builder
	for name, value := range values {
		fmt.Fprintf(&b, form, name, value)
	}
	return b.String()
}
