package gobench_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/gobench"
	"github.com/signpost-go/signpost/bench/internal/result"
)

func TestParse(t *testing.T) {
	const out = `goos: linux
goarch: amd64
pkg: github.com/signpost-go/signpost
cpu: Some Processor
BenchmarkSend/1_KiB_of_bytes-2         	   94530	      2452 ns/op	    1396 B/op	       3 allocs/op
BenchmarkSend/1_KiB_of_bytes-2         	   94530	      2450.5 ns/op	    1396 B/op	       3 allocs/op
BenchmarkSign-2                        	  170116	      1514 ns/op
PASS
ok  	github.com/signpost-go/signpost	12.499s
pkg: github.com/signpost-go/signpost/internal/schedule
BenchmarkTurn/hosts=100         	  317848	       743.2 ns/op	       237.3 B/message
PASS
`
	got, err := gobench.Parse(strings.NewReader(out))
	require.NoError(t, err)
	assert.Equal(t, []result.Benchmark{
		{Name: "Send/1_KiB_of_bytes", Values: []result.Value{
			{Unit: "ns/op", Runs: []float64{2452, 2450.5}}, {Unit: "B/op", Runs: []float64{1396, 1396}}, {Unit: "allocs/op", Runs: []float64{3, 3}},
		}},
		{Name: "Sign", Values: []result.Value{{Unit: "ns/op", Runs: []float64{1514}}}},
		{Name: "Turn/hosts=100", Values: []result.Value{{Unit: "ns/op", Runs: []float64{743.2}}, {Unit: "B/message", Runs: []float64{237.3}}}},
	}, got)
}

func TestParseRefusesWhatIsNoBenchmark(t *testing.T) {
	_, err := gobench.Parse(strings.NewReader("BenchmarkSend-2 \t many \t 1 ns/op\n"))
	assert.Error(t, err)
}

// module makes a module with one benchmark.
func module(t *testing.T, body string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":    "module example.com/m\n\ngo 1.26\n",
		"m_test.go": "package m\n\nimport \"testing\"\n\nfunc BenchmarkNothing(b *testing.B) {\n" + body + "\n}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	t.Setenv("GOWORK", "off")
	return folder
}

func TestRun(t *testing.T) {
	job := gobench.Job{Packages: []string{"."}, Bench: ".", Time: "1x", Count: 3}
	got, err := job.Run(t.Context(), module(t, "for b.Loop() {}"))
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, "Nothing", got[0].Name)
	require.NotEmpty(t, got[0].Values)
	assert.Len(t, got[0].Values[0].Runs, 3)
}

func TestRunSaysWhatFailed(t *testing.T) {
	job := gobench.Job{Packages: []string{"."}, Bench: ".", Time: "1x", Count: 1}
	_, err := job.Run(t.Context(), module(t, `b.Fatal("out of luck")`))
	assert.ErrorContains(t, err, "out of luck")

	job.Bench = "Absent"
	_, err = job.Run(t.Context(), module(t, "for b.Loop() {}"))
	assert.ErrorContains(t, err, "it ran no benchmark")
}

func TestModule(t *testing.T) {
	folder, err := gobench.Module(t.Context(), "github.com/signpost-go/signpost")
	require.NoError(t, err)
	assert.FileExists(t, filepath.Join(folder, "dispatcher.go"))
	_, err = gobench.Module(t.Context(), "example.com/absent")
	assert.ErrorContains(t, err, "example.com/absent")
}
