package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/result"
)

const (
	before = "# signpost\r\n\nText with `<!-- figures -->` in it,  and trailing blanks.  \n"
	after  = "\n## Use\n\nNo line break at the end"
	middle = "\n## Beyond\n\nSeveral processes.\n"
	readme = before + "<!-- figures -->\nold\n<!-- /figures -->\n" + middle + "<!-- queues -->\nold\n<!-- /queues -->\n" + after
)

// repository returns the root of one with a README.
func repository(t *testing.T, readme string) string {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "README.md"), []byte(readme), 0o640))
	return root
}

func read(t *testing.T, root, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(content)
}

// tree returns the content of all files below root.
func tree(t *testing.T, root string) map[string]string {
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(root, path)
			files[name] = read(t, root, name)
		}
		return err
	}))
	return files
}

func TestWrite(t *testing.T) {
	root := repository(t, readme)
	require.NoError(t, Write(root, sample()))
	files := tree(t, root)
	assert.Len(t, files, 4)

	results := files["bench/RESULTS.md"]
	for _, part := range []string{
		"It took 13 minutes.", "2026-10-02 14:03 UTC", "Example CPU", "| Redis | 7.0.15 |", "8 GiB",
		"## What is promised", "## Isolation: all senders", "### halfway", "## Isolation: signpost", "## Cost", "## Benchmarks", "## Rate limits",
		"## Reconnects", "## The durable queue", "## Through each queue", "## About the senders", "![Two charts", "(../docs/isolation.svg)", "(../docs/cost.svg)",
		"| `Send/struct` | 2.95 µs | 1.86 KiB | 7 |",
		"| 200 B | TLS | 1 | 88 µs | 95 µs | 0.926× |",
		"| asynq + Redis | 236 µs (224 µs – 255 µs) | 142 µs | 94.4 µs | 97 µs |",
		"| signpost | 18,000 of 18,000 (100 %) | 0 | 900 µs | 3 ms | 8 ms | 12 | 114 | 25 MiB | 2.1 s |",
		"| hung | 3 | 54,000 of 54,000 (100 %) |",
		"| with | 2,000 | 98 % | 410 µs",
		"### Messages durable a second", "which takes 800 µs on the disk",
		"| 64 | as it is | signpost, queue in a file | 12,000 | 0.0833 | 25 µs |",
		"| 64 | simulated, 2 ms slower | one transaction per message, one connection | 1,000 | 1 | 300 µs |",
		"| in a file | 5,000 | 100 µs |", "| 1,000 | 1,600 B | 1,700 B |", "| 1,000 | 960,000 | 12 µs | 12 µs |",
		"| nothing waits | 3 | 54,000 of 54,000 (100 %) |",
	} {
		assert.Contains(t, results, part)
	}
	machine, promised := strings.Index(results, "Example CPU"), strings.Index(results, "## What is promised")
	assert.True(t, machine < promised && promised < strings.Index(results, "## Isolation"), "promises come first, after the machine")

	info, err := os.Stat(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm(), "an existing file keeps its permissions")
}

func TestWriteReplacesOnlyTheFiguresOfTheReadme(t *testing.T) {
	root := repository(t, readme)
	require.NoError(t, Write(root, sample()))
	first := read(t, root, "README.md")
	rest, ok := strings.CutPrefix(first, before+"<!-- figures -->\n")
	require.True(t, ok)
	rest, ok = strings.CutSuffix(rest, "<!-- /queues -->\n"+after)
	require.True(t, ok)
	figures, queues, ok := strings.Cut(rest, "<!-- /figures -->\n"+middle+"<!-- queues -->\n")
	require.True(t, ok)

	assert.NotContains(t, figures, "old")
	assert.NotContains(t, queues, "old")
	assert.Contains(t, queues, "| queue | messages/s, 1 instance | messages/s, 3 instances |")
	assert.Contains(t, queues, "| SQLite | 7,000 | – | 160 µs | 1.2 ms, 3.6 ms |")
	assert.Contains(t, queues, "| RabbitMQ | 4,000 | 5,000 | 320 µs | 2 ms, 6 ms |")
	assert.Contains(t, figures, "](docs/isolation.svg)")
	assert.Contains(t, figures, "is offered 1,000 messages/s for 20 s, with 64 workers and a timeout of 2 s.")
	assert.Contains(t, figures, "| signpost | 18,000 of 18,000 (100 %) | 3 ms |")
	assert.Contains(t, figures, "0.905× with 100 hosts, 0.905× with 1 host")
	assert.Contains(t, figures, "64 callers get 12,000 messages a second made durable, 12× as many as with one transaction per message "+
		"(an fsync takes 800 µs here); 5,000 a second go all the way")
	assert.Contains(t, figures, "`make bench` measures it again (about 13 minutes) and rewrites [RESULTS.md](bench/RESULTS.md)")

	require.NoError(t, Write(root, sample()))
	assert.Equal(t, first, read(t, root, "README.md"), "the same report gives the same README")
}

func TestWriteLeavesOutWhatWasNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		report   *result.Report
		files    []string
		sections []string
	}{
		"nothing": {&result.Report{}, nil, nil},
		"cost":    {&result.Report{Costs: sample().Costs}, []string{"docs/cost.svg"}, []string{"## Cost"}},
		"a condition that has no picture": {
			&result.Report{Costs: []result.Cost{{Sender: result.Signpost, Payload: 200, Hosts: 1, Runs: usages(1000, 0)}}}, nil, []string{"## Cost"},
		},
		"isolation": {
			&result.Report{Together: sample().Together[1:2]}, []string{"docs/isolation.svg"}, []string{"## Isolation: all senders"},
		},
		"isolation without seconds": {
			&result.Report{Together: []result.Scenario{{Name: "hung", Isolation: []result.Isolation{{Sender: result.Signpost}}}}},
			nil, []string{"## Isolation: all senders"},
		},
		"a scenario without senders": {&result.Report{Alone: []result.Scenario{{Name: "hung"}}}, nil, []string{"## Isolation: signpost"}},
		"alone":                      {&result.Report{Alone: sample().Alone}, nil, []string{"## Isolation: signpost"}},
		"benchmarks":                 {&result.Report{Benchmarks: sample().Benchmarks}, nil, []string{"## Benchmarks"}},
		"limits":                     {&result.Report{Limits: sample().Limits}, nil, []string{"## Rate limits"}},
		"reconnects":                 {&result.Report{Reconnects: sample().Reconnects}, nil, []string{"## Reconnects"}},
		"durable":                    {&result.Report{Durable: sample().Durable}, nil, []string{"## The durable queue"}},
		"brokers":                    {&result.Report{Brokers: sample().Brokers}, nil, []string{"## Through each queue"}},
		"brokers missing":            {&result.Report{Brokers: result.Brokers{Missing: sample().Brokers.Missing}}, nil, []string{"## Through each queue"}},
		"durable in part":            {&result.Report{Durable: result.Durable{Ends: sample().Durable.Ends}}, nil, []string{"## The durable queue"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t, readme)
			require.NoError(t, Write(root, c.report))
			files := tree(t, root)
			assert.Len(t, files, 2+len(c.files))
			for _, f := range c.files {
				assert.Contains(t, files, f)
			}
			var sections []string
			for line := range strings.Lines(files["bench/RESULTS.md"]) {
				if strings.HasPrefix(line, "## ") && !strings.HasPrefix(line, "## What is promised") {
					sections = append(sections, line)
				}
			}
			require.Len(t, sections, len(c.sections))
			for i, s := range c.sections {
				assert.Contains(t, sections[i], s)
			}
			for _, picture := range []string{"docs/isolation.svg", "docs/cost.svg"} {
				if _, drawn := files[picture]; !drawn {
					assert.NotContains(t, files["README.md"], picture)
					assert.NotContains(t, files["bench/RESULTS.md"], picture)
				}
			}
			assert.NotContains(t, files["bench/RESULTS.md"], "NaN")
			assert.NotContains(t, files["bench/RESULTS.md"], "Inf")
		})
	}
}

// After an error every file is what it was, and nothing is left beside them.
func TestWriteChangesAllFilesOrNone(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, root string)
		says  []string
	}{
		"no README": {
			func(t *testing.T, root string) { require.NoError(t, os.Remove(filepath.Join(root, "README.md"))) },
			[]string{"README.md"},
		},
		"no first marker": {
			put("README.md", "# signpost\n<!-- /figures -->\n"), []string{"README.md", "the line <!-- figures --> is missing", "add both"},
		},
		"no last marker": {
			put("README.md", "# signpost\n<!-- figures -->\n"), []string{"README.md", "the line <!-- /figures --> is missing", "add both"},
		},
		"no markers for the queues": {
			put("README.md", before+"<!-- figures -->\n<!-- /figures -->\n"), []string{"README.md", "the line <!-- queues --> is missing"},
		},
		"markers the wrong way round": {
			put("README.md", "<!-- /figures -->\n<!-- figures -->\n"), []string{"README.md", "the line <!-- /figures --> is missing"},
		},
		"a folder where a picture goes": {put("docs/cost.svg/file", ""), []string{"cost.svg", "is a directory; remove it"}},
		"a file where a folder goes":    {put("bench", ""), []string{"bench"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t, readme)
			put("docs/isolation.svg", "an earlier picture")(t, root)
			c.spoil(t, root)
			old := tree(t, root)
			err := Write(root, sample())
			require.Error(t, err)
			for _, s := range c.says {
				assert.ErrorContains(t, err, s)
			}
			assert.Equal(t, old, tree(t, root))
		})
	}
}

// put writes a file.
func put(name, content string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

func TestEachQueueIsCompared(t *testing.T) {
	results := string(results(sample()))
	for _, part := range []string{
		"Messages of 1 KiB for 100 hosts", "by 64 callers of Send", "The servers (RabbitMQ 3.10.8, Redis 7.0.15)", "which has 2 cores",
		"| in memory | 1 | 15,000 (13,500 – 16,500) | 80 µs | – | 1 ms | 3 ms |",
		"| RabbitMQ | 3 | 5,000 (4,500 – 5,500) | 210 µs | 130 µs | 2 ms | 6 ms |",
		"Three instances deliver this many times what one does: 1.25× through RabbitMQ, 2× through asynq + Redis, fsync always, 1× through",
		"signpost with RabbitMQ beside asynq + Redis, fsync always, both of which sync a message before they answer, delivers " +
			"4× as many messages for 0.5× of the CPU time with 1 instance and 2.5× as many messages for 0.531× of the CPU time with 3 instances;",
		"against a queue in memory: 2× with SQLite, 4× with RabbitMQ, 8× with",
		"At 200 messages/s and with 1 instance, half of the messages have arrived after: in memory 1 ms (p99 3 ms), SQLite 1.2 ms",
		"All of the 120,000 messages that were counted arrived, and none came twice.",
		"Kafka was not measured: not installed: apt-get install maven.",
	} {
		assert.Contains(t, results, part)
	}

	r := sample()
	r.Brokers.Passages[0].Runs[0].Duplicates = 2
	assert.Contains(t, brokersOnly(r), "arrived, beside 2 requests that brought one again.")
}

func brokersOnly(r *result.Report) string {
	d := &document{}
	brokers(d, r)
	return d.String()
}

func TestTextFromAReportCannotBreakATable(t *testing.T) {
	r := sample()
	r.Machine.Processor = "a | b"
	r.Limits[0].About = "one\n| two."
	r.Benchmarks[0].Name = "x|y"
	results := string(results(r))
	assert.Contains(t, results, `| processor | a \| b |`)
	assert.Contains(t, results, `| one \| two |`)
	assert.Contains(t, results, "| `x\\|y` |")
}
