// Package report shows what a run of the benchmarks has measured: as tables in bench/RESULTS.md, as pictures in docs,
// and as the figures in README.md.
package report

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// The files that Write writes, below the root of the repository.
const (
	resultsFile   = "bench/RESULTS.md"
	readmeFile    = "README.md"
	isolationFile = "docs/isolation.svg"
	costFile      = "docs/cost.svg"
)

// Write shows r in the repository at root: it writes bench/RESULTS.md, docs/isolation.svg and docs/cost.svg, and rewrites
// what stands between the lines <!-- figures --> and <!-- /figures --> of README.md, and <!-- queues --> and
// <!-- /queues -->. A part of r that is empty is left out, and a picture without data is not written: one from an earlier
// run stays, and nothing refers to it. So does the table of the queues.
//
// Everything is rendered before anything is written, and each file is replaced by a rename: a file is the old one or the
// new one, whole. After an error while rendering, all of them are the old ones.
func Write(root string, r *result.Report) error {
	files, err := render(root, r)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := replace(files); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

func render(root string, r *result.Report) ([]file, error) {
	path := func(name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	var files []file

	isolation, drawn := pictured(r)
	if drawn {
		picture, err := drawIsolation(isolation, senders(r))
		if err != nil {
			return nil, fmt.Errorf("drawing %s: %w", isolationFile, err)
		}
		files = append(files, file{path(isolationFile), picture})
	}
	if bars := costBars(r); len(bars) > 0 {
		picture, err := drawCost(bars)
		if err != nil {
			return nil, fmt.Errorf("drawing %s: %w", costFile, err)
		}
		files = append(files, file{path(costFile), picture})
	}

	files = append(files, file{path(resultsFile), results(r)})

	readme, err := os.ReadFile(path(readmeFile))
	if err != nil {
		return nil, err
	}
	readme, err = replaceBetween(readme, figuresName, figures(r))
	if table := queueFigures(r); table != "" && err == nil {
		readme, err = replaceBetween(readme, queuesName, table)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path(readmeFile), err)
	}
	return append(files, file{path(readmeFile), readme}), nil
}
