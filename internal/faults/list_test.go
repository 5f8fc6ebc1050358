package faults

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fault is something that goes wrong.
type fault struct {
	name string
	does string // what signpost does about it, for docs/reliability.md
	test func(t *testing.T)
}

// groups are all faults. Each group's list stands in a file of its own, with its tests.
var groups = []struct {
	name   string
	faults []fault
}{
	{"answers", answers},
	{"connections", connections},
	{"TLS", tlsFaults},
	{"HTTP2", http2Faults},
	{"network", networkFaults},
	{"process", processFaults},
	{"clock", clockFaults},
}

func TestFault(t *testing.T) {
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, f := range g.faults {
				t.Run(f.name, func(t *testing.T) {
					t.Parallel()
					f.test(t)
				})
			}
		})
	}
}

var update = flag.Bool("update", false, "rewrite the table in docs/reliability.md")

// docs/reliability.md has this list, between two marks.
func TestReliabilityIsThisList(t *testing.T) {
	const file, from, to = "../../docs/reliability.md", "<!-- faults -->\n", "<!-- /faults -->\n"
	var table strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&table, "\n### %s\n\n| fault | what signpost does |\n|---|---|\n", g.name)
		for _, f := range g.faults {
			fmt.Fprintf(&table, "| %s | %s |\n", f.name, f.does)
		}
	}
	table.WriteString("\n")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), from)
	require.True(t, ok)
	old, after, ok := strings.Cut(rest, to)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+from+table.String()+to+after), 0o644))
		return
	}
	require.Equal(t, table.String(), old, "run: go test ./internal/faults -run Reliability -update")
}
