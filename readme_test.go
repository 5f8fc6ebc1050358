package signpost_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// README shows only what runs: its Go code stands in Examples, and its links lead somewhere.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, -1)
	sources := []string{"example_test.go", "queue/sqlite/example_test.go", "queue/rabbitmq/example_test.go"}
	require.Len(t, blocks, len(sources))
	for i, file := range sources {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		_, after, _ := strings.Cut(string(source), "// What README shows begins here.\n")
		shown, _, ok := strings.Cut(after, "\t// And ends here.")
		require.True(t, ok, file)
		assert.Equal(t, strings.TrimSpace(strings.ReplaceAll("\n"+shown, "\n\t", "\n")), strings.TrimSpace(string(blocks[i][1])))
	}

	for _, link := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllSubmatch(readme, -1) {
		_, err := os.Stat(string(link[1]))
		assert.NoError(t, err)
	}
}

// docs/reliability.md names a test for each fault of the brokers.
func TestReliabilityOfBrokers(t *testing.T) {
	page, err := os.ReadFile("docs/reliability.md")
	require.NoError(t, err)
	_, brokers, ok := strings.Cut(string(page), "\n## The brokers\n")
	require.True(t, ok)
	for _, part := range strings.Split(brokers, "\n### ")[1:] {
		name, table, _ := strings.Cut(part, "\n")
		rows := regexp.MustCompile("(?m)^\\| .* \\| .* \\| `(.*)` (.*) \\|$").FindAllStringSubmatch(table, -1)
		require.NotEmpty(t, rows, name)
		for _, row := range rows {
			files, err := filepath.Glob(filepath.Join("queue", strings.ToLower(name), row[1], "*_test.go"))
			require.NoError(t, err)
			found := false
			for _, file := range files {
				source, err := os.ReadFile(file)
				require.NoError(t, err)
				found = found || strings.Contains(string(source), "func "+row[2]+"(t ") || strings.Contains(string(source), `"`+row[2]+`"`)
			}
			assert.True(t, found, "%s has no test %q", name, row[2])
		}
	}
}
