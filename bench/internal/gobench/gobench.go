// Package gobench runs the benchmark functions of Go packages.
package gobench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// Job is one call of go test.
type Job struct {
	Packages []string
	Bench    string // which functions, a regular expression
	Skip     string // but these
	Time     string // for -benchtime
	Count    int
}

// Run runs the job in a module's folder.
func (j Job) Run(ctx context.Context, folder string) ([]result.Benchmark, error) {
	args := []string{"test", "-run", "^$", "-bench", j.Bench, "-benchmem", "-benchtime", j.Time, "-count", strconv.Itoa(j.Count), "-timeout", "10m"}
	if j.Skip != "" {
		args = append(args, "-skip", j.Skip)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, j.Packages...)...)
	cmd.Dir = folder
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.Bytes(), stderr.Bytes())
	}
	b, err := Parse(&out)
	if err == nil && len(b) == 0 {
		err = fmt.Errorf("%s: it ran no benchmark", strings.Join(cmd.Args, " "))
	}
	return b, err
}

// Module returns the folder of a module that this program is built from.
func Module(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s(run this from a folder of the module)", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// Parse reads what go test has printed. The runs of a benchmark are put together.
func Parse(out io.Reader) ([]result.Benchmark, error) {
	var benchmarks []result.Benchmark
	r := benchfmt.NewReader(out, "output of go test")
	for r.Scan() {
		switch record := r.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, fmt.Errorf("benchmarks: %w", record)
		case *benchfmt.Result:
			name := name(record.Name)
			i := slices.IndexFunc(benchmarks, func(b result.Benchmark) bool { return b.Name == name })
			if i < 0 {
				i = len(benchmarks)
				benchmarks = append(benchmarks, result.Benchmark{Name: name})
			}
			for _, v := range record.Values {
				add(&benchmarks[i], v)
			}
		}
	}
	return benchmarks, r.Err()
}

// name is without the number of processors.
func name(n benchfmt.Name) string {
	base, parts := n.Parts()
	s := string(base)
	for _, p := range parts {
		if p[0] != '-' {
			s += string(p)
		}
	}
	return s
}

// add adds a value in the unit in which go test printed it.
func add(b *result.Benchmark, v benchfmt.Value) {
	unit, value := v.Unit, v.Value
	if v.OrigUnit != "" {
		unit, value = v.OrigUnit, v.OrigValue
	}
	i := slices.IndexFunc(b.Values, func(v result.Value) bool { return v.Unit == unit })
	if i < 0 {
		i = len(b.Values)
		b.Values = append(b.Values, result.Value{Unit: unit})
	}
	b.Values[i].Runs = append(b.Values[i].Runs, value)
}
