// Package child runs parts of this program in processes of their own, and calls their methods: JSON-RPC over the
// child's standard input and output.
//
// A child ends when its standard input does, so with its parent, however that ends.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A Process is a child. Its methods are for one goroutine at a time.
type Process struct {
	name   string
	cmd    *exec.Cmd
	client *rpc.Client
	stderr *prefixWriter
	ended  func() error // waits for the end of the process; may be called several times
}

// patience is how long a child has to end by itself.
const patience = 3 * time.Second

// Start starts this program again, to serve role. The child is called name in errors, and its standard error
// appears on ours behind that name. It ends when ctx is done. under is the command of a program that is to start it, if
// any: it must leave standard input and output alone.
func Start(ctx context.Context, role, name string, under ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's file, to start it as %s: %w", name, err)
	}
	p := &Process{name: name, stderr: &prefixWriter{prefix: name + ": ", to: os.Stderr}}
	command := append(slices.Clone(under), self, argument, role)
	p.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p.stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Cancel = stdin.Close // lets it clean up
	p.cmd.WaitDelay = patience
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p.client = jsonrpc.NewClient(pipe{stdout, stdin})
	p.ended = sync.OnceValue(func() error {
		err := p.cmd.Wait()
		p.stderr.flush()
		return err
	})
	return p, nil
}

// Call calls a method of the child, and returns when it has, or ctx is done.
func (p *Process) Call(ctx context.Context, method string, args, reply any) error {
	select {
	case call := <-p.client.Go(method, args, reply, make(chan *rpc.Call, 1)).Done:
		switch {
		case call.Error == nil:
			return nil
		case ctx.Err() != nil: // which has ended the child
			return ctx.Err()
		case errors.As(call.Error, new(rpc.ServerError)):
			return fmt.Errorf("%s: %w", p.name, call.Error)
		}
		p.cmd.Process.Kill() // it doesn't speak any more
		return fmt.Errorf("%s: %s ended the process: %w", p.name, method, errors.Join(p.ended(), call.Error))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the child, if it hasn't ended yet, and returns when it has.
func (p *Process) Close() {
	kill := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	p.client.Close()
	p.ended()
}

// pipe is a connection to a process.
type pipe struct {
	io.ReadCloser
	in io.WriteCloser
}

func (p pipe) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close closes the way to the process only: the way back ends with it.
func (p pipe) Close() error { return p.in.Close() }

// prefixWriter writes whole lines with a prefix. exec.Cmd calls it from one goroutine, and flush comes after.
type prefixWriter struct {
	prefix string
	to     io.Writer
	line   []byte // begun
}

func (w *prefixWriter) Write(b []byte) (int, error) {
	w.line = append(w.line, b...)
	for {
		end := bytes.IndexByte(w.line, '\n')
		if end < 0 {
			return len(b), nil
		}
		fmt.Fprintf(w.to, "%s%s", w.prefix, w.line[:end+1])
		w.line = w.line[end+1:]
	}
}

func (w *prefixWriter) flush() {
	if len(w.line) > 0 {
		fmt.Fprintf(w.to, "%s%s\n", w.prefix, w.line)
		w.line = nil
	}
}
