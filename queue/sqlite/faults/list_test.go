package faults

import (
	"flag"
	"runtime"
	"testing"

	"github.com/signpost-go/signpost/internal/faultlist"
)

// A fault is something that goes wrong.
type fault struct {
	Name string
	Does string // what the queue does about it, for docs/reliability.md
	Test func(t *testing.T)
}

// groups are all faults. Each group's list stands in a file of its own, with its tests.
var groups = []faultlist.Group{
	faultlist.New("kills", kills),
	faultlist.New("disks", disks),
	faultlist.New("damage", damages),
	faultlist.New("files", files),
	faultlist.New("neighbours", neighbours),
	faultlist.New("clock", clocks),
}

func TestFault(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows kills processes and names, locks and deletes files in ways of its own")
	}
	faultlist.Run(t, groups)
}

var update = flag.Bool("update", false, "rewrite the durable queue's table in docs/reliability.md")

// docs/reliability.md has this list, between two marks.
func TestReliabilityIsThisList(t *testing.T) {
	faultlist.Page{File: "../../../docs/reliability.md", Mark: "durable faults", Column: "what the queue does"}.Compare(t, groups, *update)
}
