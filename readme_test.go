package signpost_test

import (
	"os"
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
	sources := []string{"example_test.go", "queue/sqlite/example_test.go"}
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
