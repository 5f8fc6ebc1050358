// Soak lets a dispatcher run for a while among receivers of every kind, and restarts it again and again. It keeps a ledger
// of all that it does, and fails if the books don't balance in the end, or if memory, goroutines or open files have grown.
//
//	go run ./internal/soak [-for 10m] [-rate 500] [-hosts 500] [-restart 1m] [-seed 0]
//
// The receivers are a process of their own, so that what is measured is the library's. An interrupt ends the run early,
// with the verdict on what has run so far; a second one doesn't wait for the messages that are still under way.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// receiversEnv is set in the process of the receivers.
const receiversEnv = "SIGNPOST_SOAK_RECEIVERS"

func main() {
	if os.Getenv(receiversEnv) != "" {
		os.Exit(receivers(os.Stdin, os.Stdout))
	}
	log.SetOutput(io.Discard) // net/http logs there what a receiver sends unasked
	c := standard
	flag.DurationVar(&c.duration, "for", c.duration, "how long to send")
	flag.Float64Var(&c.rate, "rate", c.rate, "messages a second")
	flag.IntVar(&c.hosts, "hosts", c.hosts, "receivers' hosts")
	flag.DurationVar(&c.restart, "restart", c.restart, "how often the dispatcher is shut down and replaced; 0: never")
	flag.Uint64Var(&c.seed, "seed", c.seed, "of what is drawn; 0: a random one")
	flag.Parse()
	if flag.NArg() > 0 || c.duration <= 0 || c.rate <= 0 || c.hosts < 1 || c.restart < 0 {
		flag.Usage()
		os.Exit(2)
	}
	if c.seed == 0 {
		c.seed = rand.Uint64()
	}
	s, err := newSoak(c, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
	sending, finishing := interrupts()
	os.Exit(s.run(sending, finishing))
}

// interrupts returns a context that ends with the first interrupt, and one that ends with the second.
func interrupts() (first, second context.Context) {
	first, stop := context.WithCancel(context.Background())
	second, abort := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		abort()
	}()
	return first, second
}

// config is what a soak is.
type config struct {
	duration time.Duration
	rate     float64 // messages a second
	hosts    int
	restart  time.Duration
	seed     uint64

	timeout    time.Duration // of an attempt
	maxAge     time.Duration // of a message
	grace      time.Duration // of the dispatcher's last shutdown, beyond maxAge
	calm       time.Duration // from the first request after a receiver's recovery until it is measured again
	spell      time.Duration // a host stays of one kind for half as long to three times as long
	forget     time.Duration // after its end, until a message leaves the ledger
	statusLine time.Duration // how often, where it isn't a terminal
}

var standard = config{
	duration: 10 * time.Minute, rate: 500, hosts: 500, restart: time.Minute,
	timeout: 5 * time.Second, maxAge: 2 * time.Minute, grace: 30 * time.Second, calm: 5 * time.Second, spell: time.Minute,
	forget: time.Minute, statusLine: 10 * time.Second,
}
