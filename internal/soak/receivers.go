package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/signpost-go/signpost"
)

// receivers is the process of the receivers. It ends with its input, and returns its exit status.
func receivers(in io.Reader, out io.Writer) int {
	signal.Ignore(os.Interrupt) // a terminal's interrupt is for both processes, and this one has to stay to the end
	log.SetOutput(io.Discard)
	input := bufio.NewReader(in)
	if err := receive(input, out); err != nil {
		fmt.Fprintln(os.Stderr, "soak: receivers:", err)
		return 1
	}
	return 0
}

func receive(in *bufio.Reader, out io.Writer) error {
	var o order
	first, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	if err = json.Unmarshal(first, &o); err != nil {
		return err
	}
	w := &weather{rand: rand.New(rand.NewPCG(o.Seed, 1)), spell: time.Duration(o.Spell)}
	var mu sync.Mutex
	tell := func(l line) {
		mu.Lock()
		defer mu.Unlock()
		io.WriteString(out, l.String())
	}
	book, err := w.begin(o, tell)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(book); err != nil { // before it is known where the hosts are, nothing arrives there
		return err
	}
	words := make(chan string)
	go func() {
		for {
			s, err := in.ReadString('\n')
			if err != nil {
				close(words)
				return
			}
			words <- strings.TrimSuffix(s, "\n")
		}
	}()
	w.run(words)
	return nil
}

// The weather is what changes the hosts.
type weather struct {
	rand  *rand.Rand
	spell time.Duration
	hosts []*forecast
}

// A forecast is what a host shall be, and until when.
type forecast struct {
	host  *host
	kind  int
	ills  map[int]int // kinds of endpoints that have one of their own
	until time.Time
	done  bool // it is so already
	tries int  // to make it so
}

// begin starts the hosts. Of ten, one speaks TLS, one HTTP/2, and one has many endpoints.
func (w *weather) begin(o order, tell func(line)) (*addressBook, error) {
	secret, err := signpost.ParseSecret(o.Secret)
	if err != nil {
		return nil, err
	}
	verifier, err := signpost.NewVerifier(secret)
	if err != nil {
		return nil, err
	}
	certs, err := newCertificates()
	if err != nil {
		return nil, err
	}
	book := &addressBook{Root: certs.root}
	places := 0
	for i := range o.Hosts {
		endpoints := make([]*endpoint, 1)
		if i%10 == 5 || i%10 == 2 && i%20 == 2 { // some of them speak HTTP/2
			endpoints = make([]*endpoint, 20)
		}
		for j := range endpoints {
			endpoints[j] = &endpoint{place: places}
			places++
		}
		speaks := map[int]protocol{1: overTLS, 2: http2}[i%10]
		h, err := newHost(certs, speaks, endpoints, verifier, tell)
		if err != nil {
			return nil, err
		}
		f := &forecast{host: h}
		w.hosts = append(w.hosts, f)
		w.next(f, time.Now())
		f.done = h.become(f.kind, f.ills)
		for _, e := range endpoints {
			book.Places = append(book.Places, placeAddress{URL: e.url, Host: i, Kind: h.kindOf(e)})
		}
	}
	return book, nil
}

// next draws what a host shall be next. Of many endpoints a quarter isn't healthy, whatever the host is like.
func (w *weather) next(f *forecast, now time.Time) {
	f.kind = draw(w.rand, f.host)
	f.ills = make(map[int]int)
	for i := range len(f.host.endpoints) / 4 {
		f.ills[4*i] = drawIll(w.rand, f.host, true)
	}
	f.until = now.Add(w.spell/2 + time.Duration(w.rand.Int64N(int64(w.spell*5/2))))
	f.done, f.tries = false, 0
}

// run changes the hosts until there are no more words. The word recoverAll makes them all fine for the rest.
func (w *weather) run(words <-chan string) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	recovering := false
	for {
		select {
		case word, more := <-words:
			if !more {
				return
			}
			if word != recoverAll {
				continue
			}
			recovering = true
			for _, f := range w.hosts {
				f.kind, f.ills, f.done = fine, nil, false
			}
		case now := <-ticker.C:
			for _, f := range w.hosts {
				if !recovering && f.done && now.After(f.until) {
					w.next(f, now)
				}
				if f.done {
					continue
				}
				if f.done = f.host.become(f.kind, f.ills); f.done {
					f.host.announce()
				} else if f.tries++; f.tries == 100 {
					fmt.Fprintf(os.Stderr, "soak: %s is taken by somebody else: this host stays away\n", f.host.address)
				}
			}
		}
	}
}
