// Package faultlist has what lists of faults are run with, and compared with docs/reliability.md: every line of it is a test.
package faultlist

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Fault is something that goes wrong.
type Fault struct {
	Name string
	Does string // what signpost does about it
	Test func(t *testing.T)
}

// A Group is faults of one kind.
type Group struct {
	Name   string
	Faults []Fault
}

// New returns a Group. F is a package's own Fault, so that its lists need no names of fields.
func New[F ~struct {
	Name string
	Does string
	Test func(t *testing.T)
}](name string, faults []F) Group {
	g := Group{Name: name}
	for _, f := range faults {
		g.Faults = append(g.Faults, Fault(f))
	}
	return g
}

// Run runs all faults, as subtests at the same time.
func Run(t *testing.T, groups []Group) {
	for _, g := range groups {
		t.Run(g.Name, func(t *testing.T) {
			t.Parallel()
			for _, f := range g.Faults {
				t.Run(f.Name, func(t *testing.T) {
					t.Parallel()
					f.Test(t)
				})
			}
		})
	}
}

// A Page is where a list of faults stands in a document, between two marks: <!-- mark --> and <!-- /mark -->.
type Page struct {
	File   string
	Mark   string
	Column string // the heading over what signpost does
}

// Compare fails the test if the page doesn't have the groups as they are. If update is true it rewrites the page instead.
func (p Page) Compare(t *testing.T, groups []Group, update bool) {
	var table strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&table, "\n### %s\n\n| fault | %s |\n|---|---|\n", g.Name, p.Column)
		for _, f := range g.Faults {
			fmt.Fprintf(&table, "| %s | %s |\n", f.Name, f.Does)
		}
	}
	table.WriteString("\n")
	from, to := "<!-- "+p.Mark+" -->\n", "<!-- /"+p.Mark+" -->\n"
	b, err := os.ReadFile(p.File)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), from)
	require.True(t, ok, "%s has no mark %s", p.File, from)
	old, after, ok := strings.Cut(rest, to)
	require.True(t, ok, "%s has no mark %s", p.File, to)
	if update {
		require.NoError(t, os.WriteFile(p.File, []byte(before+from+table.String()+to+after), 0o644))
		return
	}
	require.Equal(t, table.String(), old, "run these tests again with -run Reliability -update")
}
