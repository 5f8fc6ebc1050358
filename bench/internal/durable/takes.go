package durable

import (
	"context"
	"fmt"
	"time"

	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/store"
)

const small = 200 // bytes of a payload, where a million messages must be made and how large they are is no matter

// Size measures what so many messages of 1 KiB take on the disk of a folder.
func Size(ctx context.Context, folder string, messages int) (result.Size, error) {
	m := result.Size{Messages: messages}
	err := func() error {
		s, err := openStore(ctx, folder, result.Group)
		if err != nil {
			return err
		}
		defer s.end()
		if _, err := s.call(ctx, "Fill", store.Backlog{Messages: messages, Payload: size}); err != nil {
			return err
		}
		if err := s.shut(ctx, messages, 0); err != nil {
			return err
		}
		if m.Pending, err = s.size(); err != nil {
			return err
		}
		if err := s.open(ctx, result.Group); err != nil {
			return err
		}
		if _, err := s.call(ctx, "Take", store.Taking{Messages: messages, Settlers: workers}); err != nil {
			return err
		}
		if err := s.shut(ctx, 0, messages); err != nil {
			return err
		}
		m.Delivered, err = s.size()
		return err
	}()
	if err != nil {
		err = fmt.Errorf("durable: size: %w", err)
	}
	return m, err
}

// Receiving is the sizes of files from which messages are received.
type Receiving struct {
	Folder    string // on the disk
	Few, Many int    // messages that wait
	Taken     int    // messages that are received in a round from a file in which many are due; else it is Few
	Rounds    int
}

// Run measures what it costs to receive a message, alone and settled, when few wait, when many do, and when many wait that
// aren't due beside few that are.
func (r Receiving) Run(ctx context.Context) ([]result.Take, error) {
	few, err := r.measure(ctx, r.few)
	if err != nil {
		return nil, fmt.Errorf("durable: receive among %d messages: %w", r.Few, err)
	}
	many, err := r.measure(ctx, r.many)
	if err != nil {
		return nil, fmt.Errorf("durable: receive among %d messages: %w", r.Many, err)
	}
	return append(few, many...), nil
}

func (r Receiving) measure(ctx context.Context, f func(context.Context, *reception) ([]result.Take, error)) ([]result.Take, error) {
	s, err := openStore(ctx, r.Folder, result.Group)
	if err != nil {
		return nil, err
	}
	defer s.end()
	return f(ctx, &reception{stored: s})
}

func (r Receiving) few(ctx context.Context, s *reception) ([]result.Take, error) {
	return s.rounds(ctx, r.Rounds, r.Few, r.Few)
}

func (r Receiving) many(ctx context.Context, s *reception) ([]result.Take, error) {
	due, err := s.rounds(ctx, r.Rounds, r.Many, r.Taken)
	if err != nil {
		return nil, err
	}
	if err := s.postpone(ctx); err != nil {
		return nil, err
	}
	later, err := s.rounds(ctx, r.Rounds, r.Few, r.Few)
	return append(due, later...), err
}

// A reception is a file that messages are received from.
type reception struct {
	*stored
	due, later, delivered int // messages in the file
}

// rounds receives messages from a file in which so many are due: in each round taken ones, which come back, and
// taken ones that are settled.
func (s *reception) rounds(ctx context.Context, rounds, due, taken int) ([]result.Take, error) {
	takes := []result.Take{{Due: due, Later: s.later}, {Due: due, Later: s.later, Settled: true}}
	for range rounds {
		if s.due < taken {
			if _, err := s.call(ctx, "Fill", store.Backlog{Messages: due - s.due, Payload: small}); err != nil {
				return nil, err
			}
			s.due = due
		}
		for i, settlers := range []int{0, workers} {
			if err := s.again(ctx); err != nil {
				return nil, err
			}
			used, err := s.call(ctx, "Take", store.Taking{Messages: taken, Settlers: settlers})
			if err != nil {
				return nil, err
			}
			takes[i].Runs = append(takes[i].Runs, used.CPU.Total()/time.Duration(taken))
		}
		s.due -= taken
		s.delivered += taken
	}
	return takes, nil
}

// again shuts the file and opens it again: then nothing is in memory that was just enqueued, and leases that were out have
// come back.
func (s *reception) again(ctx context.Context) error {
	if err := s.shut(ctx, s.due+s.later, s.delivered); err != nil {
		return err
	}
	return s.open(ctx, result.Group)
}

// postpone makes all messages due a day later.
func (s *reception) postpone(ctx context.Context) error {
	if err := s.shut(ctx, s.due+s.later, s.delivered); err != nil {
		return err
	}
	if err := s.process.Call(ctx, "store.Postpone", store.Postponement{Path: s.path(), By: 24 * time.Hour}, nil); err != nil {
		return err
	}
	s.due, s.later = 0, s.due+s.later
	return s.open(ctx, result.Group)
}
