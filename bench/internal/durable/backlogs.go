package durable

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/isolation"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/store"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

// Waiting is messages that wait for a dead host, in the queue by which others are sent to live ones.
type Waiting struct {
	Folder   string // on the disk
	Messages int
	Live     int // hosts
	Rate     int // messages a second to them all
	For      time.Duration
}

const (
	timeout   = 2 * time.Second
	warning   = 500 * time.Millisecond
	grace     = time.Second
	producers = 16 // of messages to live hosts: Send waits for the disk
)

// Condition names what the live hosts live with while one of a kind is dead. With receiver.OK none is, and nothing waits.
func Condition(kind receiver.Kind) string {
	switch kind {
	case receiver.Hang:
		return result.BacklogHangs
	case receiver.Refuse:
		return result.BacklogRefuses
	}
	return result.NoBacklog
}

// Run offers messages to live hosts while the others wait for one that behaves as kind says.
func (w Waiting) Run(ctx context.Context, kind receiver.Kind) (result.Scenario, error) {
	scenario := result.Scenario{Name: Condition(kind), Rate: w.Rate, Duration: w.For, Workers: workers, Timeout: timeout}
	scenario.About = fmt.Sprintf("%d live hosts, and nothing waits.", w.Live)
	backlog := store.Backlog{}
	if kind != receiver.OK {
		does := "takes the request and never answers"
		if kind == receiver.Refuse {
			does = "refuses connections"
		}
		scenario.About = message.NewPrinter(language.English).Sprintf("%d live hosts, and %d messages in the file wait for one more, which %s.",
			w.Live, w.Messages, does)
		backlog.Messages = w.Messages
	}
	measured, err := w.measure(ctx, kind, backlog)
	if err != nil {
		return scenario, fmt.Errorf("durable: %s: %w", scenario.Name, err)
	}
	scenario.Isolation = []result.Isolation{measured}
	return scenario, nil
}

func (w Waiting) measure(ctx context.Context, kind receiver.Kind, backlog store.Backlog) (result.Isolation, error) {
	f, err := newFile(w.Folder)
	if err != nil {
		return result.Isolation{}, err
	}
	defer f.remove()
	messages := int(time.Duration(w.Rate) * w.For / time.Second)
	backlog.First, backlog.Payload = messages, size
	hosts := make([]receiver.Host, w.Live+1)
	hosts[w.Live].Behaviour.Kind = kind
	order := make([]int, w.Live)
	for i := range order {
		order[i] = i
	}
	t, err := trial.Open(ctx,
		receiver.Config{Messages: messages + backlog.Messages, Hosts: hosts},
		client.Config{
			Sender:  result.Signpost,
			Senders: senders.Config{Workers: workers, Buffer: 10_000, Timeout: timeout, Wait: time.Second, File: f.path()},
			Order:   order, Payload: size, Producers: producers,
			Backlog: backlog, BacklogTo: w.Live,
		})
	if err != nil {
		return result.Isolation{}, err
	}
	defer t.Close()
	load := client.Load{Count: messages, Start: clock.Now().Add(warning), Interval: time.Second / time.Duration(w.Rate)}
	load.End = load.Time(messages - 1).Add(grace)
	loaded, used, err := t.Offer(ctx, load)
	if err != nil {
		return result.Isolation{}, err
	}
	report, err := t.Report(ctx)
	if err != nil {
		return result.Isolation{}, err
	}
	m := isolation.Judge(load, loaded, report, func(int) bool { return true })
	m.Sender = result.Signpost
	m.Connections, m.Goroutines, m.Memory, m.CPU = report.BadMost, used.Goroutines, used.Memory, used.CPU.Total()
	return m, nil
}
