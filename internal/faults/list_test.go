package faults

import (
	"flag"
	"testing"

	"github.com/signpost-go/signpost/internal/faultlist"
)

// A fault is something that goes wrong.
type fault struct {
	Name string
	Does string // what signpost does about it, for docs/reliability.md
	Test func(t *testing.T)
}

// groups are all faults. Each group's list stands in a file of its own, with its tests.
var groups = []faultlist.Group{
	faultlist.New("answers", answers),
	faultlist.New("connections", connections),
	faultlist.New("TLS", tlsFaults),
	faultlist.New("HTTP2", http2Faults),
	faultlist.New("network", networkFaults),
	faultlist.New("process", processFaults),
	faultlist.New("clock", clockFaults),
}

func TestFault(t *testing.T) {
	faultlist.Run(t, groups)
}

var update = flag.Bool("update", false, "rewrite the table in docs/reliability.md")

// docs/reliability.md has this list, between two marks.
func TestReliabilityIsThisList(t *testing.T) {
	faultlist.Page{File: "../../docs/reliability.md", Mark: "faults", Column: "what signpost does"}.Compare(t, groups, *update)
}
