package durable

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/signpost-go/signpost/bench/internal/disk"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/store"
)

// Writing is a condition under which messages are made durable.
type Writing struct {
	Folder    string // on the disk
	Producers int
	For       time.Duration // each run
	Rounds    int           // of runs of all ways
	Delay     time.Duration // of each fsync, as if the disk were slower; needs strace
}

// Ways are those that are compared.
func Ways() []string { return []string{result.Group, result.Single, result.Pool} }

// Run measures all ways, each time in another order and each in a new process with a new file.
func (w Writing) Run(ctx context.Context) ([]result.Write, error) {
	var under []string
	if w.Delay > 0 {
		var err error
		if under, err = disk.Slow(w.Delay); err != nil {
			return nil, fmt.Errorf("durable: %w", err)
		}
	}
	var writes []result.Write
	turn := []int{}
	for i, way := range Ways() {
		writes = append(writes, result.Write{Way: way, Producers: w.Producers, Delay: w.Delay})
		turn = append(turn, i)
	}
	for range w.Rounds {
		for _, i := range turn {
			run, err := w.measure(ctx, writes[i].Way, under)
			if err != nil {
				return nil, fmt.Errorf("durable: %d producers: %w", w.Producers, err)
			}
			writes[i].Runs = append(writes[i].Runs, run)
		}
		slices.Reverse(turn)
	}
	return writes, nil
}

func (w Writing) measure(ctx context.Context, way string, under []string) (result.Written, error) {
	s, err := openStore(ctx, w.Folder, way, under...)
	if err != nil {
		return result.Written{}, err
	}
	defer s.end()
	// The first few messages find the file empty and nothing prepared.
	warm, err := s.call(ctx, "Write", store.Load{Producers: w.Producers, For: w.For / 10})
	if err != nil {
		return result.Written{}, err
	}
	before, err := s.commits()
	if err != nil {
		return result.Written{}, err
	}
	used, err := s.call(ctx, "Write", store.Load{Producers: w.Producers, For: w.For})
	if err != nil {
		return result.Written{}, err
	}
	after, err := s.commits()
	if err != nil {
		return result.Written{}, err
	}
	run := result.Written{Messages: used.Messages, Commits: after - before, Took: used.Took, CPU: used.CPU.Total()}
	return run, s.shut(ctx, warm.Messages+used.Messages, 0)
}
