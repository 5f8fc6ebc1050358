package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// The lines of README.md between which the figures stand.
const (
	figuresBegin = "<!-- figures -->"
	figuresEnd   = "<!-- /figures -->"
)

// replaceFigures puts figures between the markers of readme, whose other bytes stay as they are.
func replaceFigures(readme []byte, figures string) ([]byte, error) {
	_, begin, ok := markerLine(readme, figuresBegin, 0)
	if !ok {
		return nil, missing(figuresBegin)
	}
	end, _, ok := markerLine(readme, figuresEnd, begin)
	if !ok {
		return nil, missing(figuresEnd)
	}
	return bytes.Join([][]byte{readme[:begin], []byte(figures), readme[end:]}, nil), nil
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

func missing(marker string) error {
	return errors.New("the line " + marker + " is missing; the figures are written between the lines " +
		figuresBegin + " and " + figuresEnd + ", so add both where they are to stand")
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
