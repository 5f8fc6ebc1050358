package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signpost-go/signpost/bench/internal/disk"
	"github.com/signpost-go/signpost/bench/internal/redis"
)

// The parts of a run.
var allParts = []string{"isolation", "cost", "benchmarks", "limits", "reconnects", "durable", "brokers"}

// A task is what the command line asks for.
type task struct {
	parts    []string
	only     *regexp.Regexp
	duration time.Duration
	alone    bool
	quick    bool
	out      string
	outGiven bool
	disk     string
	ends     []func() // of what steps have begun
}

func parse(args []string, stderr io.Writer) (*task, error) {
	t := &task{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	parts := flags.String("parts", strings.Join(allParts, ","), "measure these `parts`")
	only := flags.String("only", "", "of the parts only the steps whose names match this `regexp`; the names are those that a run shows")
	flags.DurationVar(&t.duration, "duration", 20*time.Second, "of one run of isolation")
	flags.BoolVar(&t.alone, "alone", false, "measure isolation one sender after the other, each with the machine to itself: this takes half an hour")
	flags.BoolVar(&t.quick, "quick", false, "shorten everything to a minute, to try it out; the figures mean nothing")
	flags.StringVar(&t.out, "out", "..", "write the results below this `folder`, the root of the repository; by default only if everything was measured")
	flags.StringVar(&t.disk, "disk", "/var/tmp", "put durable queues' files and brokers' data below this `folder`; they take up to 3 GiB for a while")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: there are only flags, see -help", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) { t.outGiven = t.outGiven || f.Name == "out" })
	for part := range strings.SplitSeq(*parts, ",") {
		if !slices.Contains(allParts, part) {
			return nil, fmt.Errorf("-parts: there is no part %q: give some of %s", part, strings.Join(allParts, ","))
		}
		t.parts = append(t.parts, part)
	}
	var err error
	if t.only, err = regexp.Compile(*only); err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	if t.quick {
		t.duration = min(t.duration, time.Second)
	}
	if t.duration < time.Second || t.duration > 10*time.Minute {
		return nil, fmt.Errorf("-duration %v: give 1s to 10m", t.duration)
	}
	return t, nil
}

// close ends what steps have begun, and left to others.
func (t *task) close() {
	for _, end := range t.ends {
		end()
	}
}

func (t *task) has(part string) bool { return slices.Contains(t.parts, part) }

// writes tells whether the results are written to files: those of a part of it would replace all the others.
func (t *task) writes() bool {
	complete := !slices.ContainsFunc(allParts, func(part string) bool { return !t.has(part) }) && t.only.String() == ""
	return t.outGiven || complete && !t.quick
}

// files is how many a process may have to open: one that starts a goroutine for every message, most of all.
const files = 10_000

// check returns an error if this machine lacks something that the run needs.
func (t *task) check() error {
	if t.has("isolation") || t.has("cost") {
		if !redis.Installed() {
			return redis.ErrMissing
		}
	}
	if t.has("durable") || t.has("brokers") {
		if err := disk.Check(t.disk); err != nil {
			return fmt.Errorf("-disk: %w", err)
		}
	}
	if t.writes() {
		if _, err := os.Stat(filepath.Join(t.out, "README.md")); err != nil {
			return fmt.Errorf("-out %s: it is not the root of a repository: %w", t.out, err)
		}
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	// Package os has raised the soft limit to the hard one, and does so in every child.
	if limit.Max < files {
		return fmt.Errorf("a process may open %d files and needs %d: raise the hard limit, by `nofile` in /etc/security/limits.conf or `ulimit -Hn` as root", limit.Max, files)
	}
	return nil
}
