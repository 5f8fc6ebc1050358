package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signpost-go/signpost"
)

// senders is how many goroutines send.
const senders = 4

// send sends messages in an open loop until ctx is done: at random times, and whatever became of the last one.
func (s *soak) send(ctx context.Context, sender int) {
	r := rand.New(rand.NewPCG(s.config.seed, uint64(2+sender)))
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			s.sendOne(r)
			next = next.Add(time.Duration(r.ExpFloat64() / s.config.rate * senders * float64(time.Second)))
			timer.Reset(time.Until(next))
		}
	}
}

// sendOne sends a message to a random place, to the next dispatcher if this one is shut down.
func (s *soak) sendOne(r *rand.Rand) {
	p := s.places.random(r)
	now := time.Now().UnixNano()
	calm := p.isCalm(now)
	payload := payload(r, now)
	m := &signpost.Message{URL: p.url, Payload: payload, Header: header(r)}
	own := r.IntN(5) == 0 // by Enqueue, and half of them with an ID of their own
	if own && r.IntN(2) == 0 {
		m.ID = "soak_" + strconv.FormatUint(r.Uint64(), 36) + strconv.FormatUint(r.Uint64(), 36)
	}
	for {
		d := s.current()
		var err error
		if own || m.Header != nil {
			err = d.Enqueue(context.Background(), m)
		} else {
			m.ID, err = d.Send(context.Background(), p.url, payload)
		}
		switch {
		case err == nil:
			s.ledger.Accept(m.ID)
			return
		case errors.Is(err, signpost.ErrClosed):
			continue // the next one took its place before it was shut down
		case errors.Is(err, signpost.ErrQueueFull):
			s.tally.refuse(calm)
		default:
			s.problem("Send: %v", err)
		}
		return
	}
}

var filling = strings.Repeat("0123456789abcdef", 20<<10/16)

// payload is a JSON document of 100 bytes to 20 KiB, small ones more often than large ones.
func payload(r *rand.Rand, now int64) []byte {
	size := int(100 * math.Pow(200, r.Float64()))
	b := append(make([]byte, 0, size+64), payloadStart...)
	b = strconv.AppendInt(b, now, 10)
	b = append(b, `,"type":"order.paid","data":"`...)
	b = append(b, filling[:max(0, size-len(b)-2)]...)
	return append(b, `"}`...)
}

// header is what one message in ten brings.
func header(r *rand.Rand) http.Header {
	if r.IntN(10) > 0 {
		return nil
	}
	return http.Header{"X-Tenant": {strconv.Itoa(r.IntN(1000))}, "Content-Type": {"application/cloudevents+json"}}
}
