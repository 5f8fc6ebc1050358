package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// What stands in README.md between the lines <!-- name --> and <!-- /name -->.
const (
	figuresName = "figures"
	queuesName  = "queues" // the table of the queues, beside the words about them
)

// replaceBetween puts text between the markers of that name in readme, whose other bytes stay as they are.
func replaceBetween(readme []byte, name, text string) ([]byte, error) {
	first, last := "<!-- "+name+" -->", "<!-- /"+name+" -->"
	missing := func(marker string) error {
		return errors.New("the line " + marker + " is missing; what was measured is written between the lines " +
			first + " and " + last + ", so add both where it is to stand")
	}
	_, begin, ok := markerLine(readme, first, 0)
	if !ok {
		return nil, missing(first)
	}
	end, _, ok := markerLine(readme, last, begin)
	if !ok {
		return nil, missing(last)
	}
	return bytes.Join([][]byte{readme[:begin], []byte(text), readme[end:]}, nil), nil
}

// markerLine returns where in text, from an offset on, the line begins and ends that is marker.
func markerLine(text []byte, marker string, from int) (begin, end int, ok bool) {
	end = from
	for line := range bytes.Lines(text[from:]) {
		begin, end = end, end+len(line)
		if string(bytes.TrimRight(line, "\r\n")) == marker {
			return begin, end, true
		}
	}
	return 0, 0, false
}

// figures returns what README shows: the picture, what arrives beside hung hosts, what a message costs, and how to
// measure it again.
func figures(r *result.Report) string {
	d := &document{}
	d.WriteByte('\n')
	if s, ok := pictured(r); ok {
		d.picture(isolationAlternative(s, senders(r)), isolationFile)
		d.paragraph(fmt.Sprintf("%s; each sender, in a process of its own, is offered %s.", clause(s.About), settings(s)))
	}
	if s, ok := together(r, hung); ok {
		hungFigures(d, r, s)
	}
	costFigures(d, r)
	durableFigures(d, r)
	d.paragraph(fmt.Sprintf("`make bench` measures it again (about %s) and rewrites [RESULTS.md](%s), which has the rest.", minutes(r.Took), resultsFile))
	return d.String()
}

func hungFigures(d *document, r *result.Report, s result.Scenario) {
	d.paragraph(fmt.Sprintf("%s. Of the messages to healthy receivers:", clause(s.About)))
	var rows [][]string
	for _, name := range senders(r) {
		if i, ok := s.By(name); ok {
			rows = append(rows, []string{name, arrived(i.Arrived, i.Healthy), latency(i.P99, i.Arrived)})
		}
	}
	d.table("lrr", []string{"sender", "arrived", "p99"}, rows)
}

func costFigures(d *document, r *result.Report) {
	var figures []string
	for _, hosts := range []int{100, 1} {
		if ratios := headline(hosts).ratios(r); len(ratios) > 0 {
			figures = append(figures, fmt.Sprintf("%s with %s", times(result.Median(ratios)), plural(hosts, "host")))
		}
	}
	if len(figures) > 0 {
		d.paragraph(fmt.Sprintf("CPU time for each delivered 1 KiB message, against a bare `http.Client` loop that signs, POSTs and does nothing else: "+
			"%s (plain HTTP, medians of paired runs).", strings.Join(figures, ", ")))
	}
}
