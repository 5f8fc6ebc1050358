package child

import (
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/signal"
)

// argument is the first one of a child; the second is its role.
const argument = "-serve-as-a-child"

// A Service is what a child does. Its methods of the form
//
//	func (s *T) Method(args A, reply *R) error
//
// are what the parent can call, as "role.Method". Close is called when there is nothing more to do.
type Service interface{ Close() }

// Main serves and ends the process if it was started as a child, and returns if not. Call it before anything else;
// in tests, from TestMain.
func Main(services map[string]func() Service) {
	if len(os.Args) != 3 || os.Args[1] != argument {
		return
	}
	role := os.Args[2]
	start, ok := services[role]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no role %q\n", role)
		os.Exit(2)
	}
	signal.Ignore(os.Interrupt) // Ctrl-C reaches the whole process group; the parent decides
	service := start()
	server := rpc.NewServer()
	if err := server.RegisterName(role, service); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	// Whatever else writes to standard output must not come between the replies.
	out := os.Stdout
	os.Stdout = os.Stderr
	ended := make(chan struct{})
	go server.ServeCodec(jsonrpc.NewServerCodec(parent{os.Stdin, out, ended}))
	<-ended // whatever is still being called: nobody waits for it
	service.Close()
	os.Exit(0)
}

// parent is the connection to it.
type parent struct {
	in io.Reader
	io.WriteCloser
	ended chan struct{} // closed when there is no parent any more
}

// Read is called by one goroutine, and not again after an error.
func (p parent) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	if err != nil {
		close(p.ended)
	}
	return n, err
}
