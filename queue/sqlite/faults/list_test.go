package faults

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fault is something that goes wrong.
type fault struct {
	name string
	does string // what the queue does about it, for docs/reliability.md
	test func(t *testing.T)
}

// groups are all faults. Each group's list stands in a file of its own, with its tests.
var groups = []struct {
	name   string
	faults []fault
}{
	{"kills", kills},
	{"disks", disks},
	{"damage", damages},
	{"files", files},
	{"neighbours", neighbours},
	{"clock", clocks},
}

func TestFault(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows kills processes and names, locks and deletes files in ways of its own")
	}
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

var update = flag.Bool("update", false, "rewrite the durable queue's table in docs/reliability.md")

// docs/reliability.md has this list, between two marks.
func TestReliabilityIsThisList(t *testing.T) {
	const file, from, to = "../../../docs/reliability.md", "<!-- durable faults -->\n", "<!-- /durable faults -->\n"
	var table strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&table, "\n### %s\n\n| fault | what the queue does |\n|---|---|\n", g.name)
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
	require.Equal(t, table.String(), old, "run, in queue/sqlite: go test ./faults -run Reliability -update")
}
