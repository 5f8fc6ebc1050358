// Package durable measures the queue in a file: how fast messages are durable, delivered and received, what they take on the
// disk, and whether those that wait for a dead receiver make others late.
package durable

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/store"
)

// A file is that of a queue, in a folder of its own.
type file struct{ folder string }

// newFile returns a file that isn't there yet. below is a folder on the disk that is measured.
func newFile(below string) (file, error) {
	folder, err := os.MkdirTemp(below, "signpost-bench-queue-")
	return file{folder}, err
}

func (f file) path() string { return filepath.Join(f.folder, "queue.db") }

// remove ends what newFile has begun. No process may use the file any more.
func (f file) remove() { os.RemoveAll(f.folder) }

// size is how many bytes the file takes on the disk, with its log.
func (f file) size() (total int64, err error) {
	for _, name := range []string{f.path(), f.path() + "-wal"} {
		info, err := os.Stat(name)
		switch {
		case err == nil:
			total += info.Size()
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
	}
	return total, nil
}

// commits is how many transactions were committed since the file was opened first: the number iChange of
// https://www.sqlite.org/walformat.html#the_wal_index_file_format. It requires that another process has the file open, and
// this one hasn't: it would lose its locks.
func (f file) commits() (int, error) {
	index, err := os.Open(f.path() + "-shm")
	if err != nil {
		return 0, err
	}
	defer index.Close()
	var head [12]byte
	if _, err := io.ReadFull(index, head[:]); err != nil {
		return 0, fmt.Errorf("%s: %w", index.Name(), err)
	}
	return int(binary.NativeEndian.Uint32(head[8:])), nil
}

// A stored is a file that a process of its own has open, or shut.
type stored struct {
	file
	process *child.Process
}

// openStore makes a file and starts the process, under a command if there is one.
func openStore(ctx context.Context, below, writer string, under ...string) (*stored, error) {
	f, err := newFile(below)
	if err != nil {
		return nil, err
	}
	p, err := child.Start(ctx, store.Role, writer, under...)
	if err != nil {
		f.remove()
		return nil, err
	}
	s := &stored{f, p}
	if err := s.open(ctx, writer); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *stored) open(ctx context.Context, writer string) error {
	return s.process.Call(ctx, "store.Open", store.Config{Path: s.path(), Writer: writer}, nil)
}

// shut closes the file, and compares how many messages of each state are in it with how many there must be.
func (s *stored) shut(ctx context.Context, pending, delivered int) error {
	if err := s.process.Call(ctx, "store.Shut", struct{}{}, nil); err != nil {
		return err
	}
	var counts map[string]int
	if err := s.process.Call(ctx, "store.Count", s.path(), &counts); err != nil {
		return err
	}
	if counts["pending"] != pending || counts["delivered"] != delivered {
		return fmt.Errorf("the file has messages %v, and must have %d pending and %d delivered", counts, pending, delivered)
	}
	return nil
}

// call calls a method that tells what it has used.
func (s *stored) call(ctx context.Context, method string, args any) (used store.Used, err error) {
	err = s.process.Call(ctx, "store."+method, args, &used)
	return used, err
}

// end ends the process, and the file is gone.
func (s *stored) end() {
	s.process.Close()
	s.remove()
}
