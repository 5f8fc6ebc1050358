// Package trial puts a sender and its receivers into processes of their own and lets one send to the other.
package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/server"
	"github.com/signpost-go/signpost/bench/internal/store"
)

// Main serves and ends the process if it was started as a sender, a receiver, a store or a server. Call it before anything
// else; in tests, from TestMain.
func Main() {
	child.Main(map[string]func() child.Service{
		receiver.Role: receiver.NewService, client.Role: client.NewService, store.Role: store.NewService, server.Role: server.NewService,
	})
}

// A Trial is a sender and its receivers, each in a process. Its methods are for one goroutine at a time.
type Trial struct {
	receivers, sender *child.Process
}

// Open starts the processes. What r and c must agree on, secret, URLs and certificates, is filled in. With an empty
// Order the URLs take turns.
func Open(ctx context.Context, r receiver.Config, c client.Config) (*Trial, error) {
	secret := signpost.NewSecret().Reveal()
	r.Secret, c.Senders.Secret = secret, secret
	t := &Trial{}
	if err := t.open(ctx, r, c); err != nil {
		t.Close()
		return nil, fmt.Errorf("%s: %w", c.Sender, err)
	}
	return t, nil
}

func (t *Trial) open(ctx context.Context, r receiver.Config, c client.Config) (err error) {
	if t.receivers, err = child.Start(ctx, receiver.Role, "receivers of "+c.Sender); err != nil {
		return err
	}
	var opened receiver.Opened
	if err := t.receivers.Call(ctx, "receiver.Open", r, &opened); err != nil {
		return err
	}
	c.URLs, c.Senders.Roots = opened.URLs, opened.Roots
	if len(c.Order) == 0 {
		c.Order = make([]int, len(c.URLs))
		for i := range c.Order {
			c.Order[i] = i
		}
	}
	if t.sender, err = child.Start(ctx, client.Role, c.Sender); err != nil {
		return err
	}
	return t.sender.Call(ctx, "sender.Open", c, nil)
}

// Close ends the processes.
func (t *Trial) Close() {
	for _, p := range []*child.Process{t.sender, t.receivers} {
		if p != nil {
			p.Close()
		}
	}
}

// patience is how long messages may take that are sent as fast as it goes.
const patience = time.Minute

// Deliver sends count messages, from number first on, as fast as it goes, and returns what the sender's process used
// until all had arrived. A message that is refused or doesn't arrive is an error. first is how many were sent
// before.
func (t *Trial) Deliver(ctx context.Context, first, count int) (client.Usage, error) {
	var used client.Usage
	start := clock.Now()
	if err := t.receivers.Call(ctx, "receiver.Start", start, nil); err != nil {
		return used, err
	}
	var loaded client.Loaded
	if err := t.sender.Call(ctx, "sender.Load", client.Load{First: first, Count: count, Start: start}, &loaded); err != nil {
		return used, err
	}
	if n := len(loaded.Refused); n > 0 {
		return used, fmt.Errorf("%d of %d messages were refused: %s", n, count, loaded.Refusal)
	}
	if err := t.receivers.Call(ctx, "receiver.Wait", receiver.Expected{Messages: first + count, Patience: patience}, nil); err != nil {
		return used, err
	}
	err := t.sender.Call(ctx, "sender.Usage", struct{}{}, &used)
	return used, err
}

// Settle is Deliver, which returns how long it took as well: until the sender had settled all messages, and its observer
// had heard of them. It needs a sender that counts them.
func (t *Trial) Settle(ctx context.Context, first, count int) (time.Duration, client.Usage, error) {
	start := clock.Now()
	if _, err := t.Deliver(ctx, first, count); err != nil {
		return 0, client.Usage{}, err
	}
	var end clock.Time
	if err := t.sender.Call(ctx, "sender.Settled", client.Settled{Messages: first + count, Patience: patience}, &end); err != nil {
		return 0, client.Usage{}, err
	}
	var used client.Usage
	err := t.sender.Call(ctx, "sender.Usage", struct{}{}, &used)
	return end.Sub(start), used, err
}

// Offer puts a load on the sender and returns at its end with what was used until then.
func (t *Trial) Offer(ctx context.Context, l client.Load) (loaded client.Loaded, used client.Usage, err error) {
	if err := t.receivers.Call(ctx, "receiver.Start", l.Start, nil); err != nil {
		return loaded, used, err
	}
	if err := t.sender.Call(ctx, "sender.Load", l, &loaded); err != nil {
		return loaded, used, err
	}
	err = t.sender.Call(ctx, "sender.Usage", struct{}{}, &used)
	return loaded, used, err
}

// Report returns what the receivers have seen.
func (t *Trial) Report(ctx context.Context) (report receiver.Report, err error) {
	err = t.receivers.Call(ctx, "receiver.Report", struct{}{}, &report)
	return report, err
}
