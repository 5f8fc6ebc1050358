// Package progress runs steps one after the other and says how far it is.
package progress

import (
	"context"
	"fmt"
	"io"
	"time"
)

// A Step is a part of a longer run.
type Step struct {
	Name     string
	Expected time.Duration
	Run      func(context.Context) error
}

// Run runs the steps until one fails or ctx is done. Each is announced on w, with the time taken so far and the time
// that all are expected to take.
func Run(ctx context.Context, w io.Writer, steps []Step) error {
	begin := time.Now()
	var left time.Duration
	for _, s := range steps {
		left += s.Expected
	}
	for i, s := range steps {
		taken := time.Since(begin)
		fmt.Fprintf(w, "[%2d/%d] %s … %s of about %s\n", i+1, len(steps), s.Name, human(taken), human(taken+left))
		if err := s.Run(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		left -= s.Expected
	}
	fmt.Fprintf(w, "done after %s\n", human(time.Since(begin)))
	return nil
}

// human is a duration to the second, or from ten minutes on to the minute.
func human(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.0f:%02.0f min", float64(int(d.Minutes())), float64(int(d.Seconds())%60))
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
