package report

import (
	"fmt"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// halfway is the scenario in which receivers go bad in the middle of a run, hung the one in which they are bad from the
// beginning.
const (
	halfway = "halfway"
	hung    = "hung"
)

// pictured returns the scenario that the picture of isolation shows.
func pictured(r *result.Report) (result.Scenario, bool) {
	for _, name := range []string{halfway, hung} {
		s, ok := together(r, name)
		if ok && slices.ContainsFunc(s.Isolation, func(i result.Isolation) bool { return len(i.Timeline) > 0 }) {
			return s, true
		}
	}
	return result.Scenario{}, false
}

// isolationAlternative says in words what the picture shows.
func isolationAlternative(s result.Scenario, senders []string) string {
	var parts []string
	for _, name := range senders {
		if i, ok := s.By(name); ok {
			parts = append(parts, fmt.Sprintf("%s %s, p99 %s", name, percent(i.Arrived, i.Healthy), latency(i.P99, i.Arrived)))
		}
	}
	return fmt.Sprintf("Two charts over the seconds of a run, with a line for each sender: the latency of messages to healthy receivers, and how many "+
		"of them arrived. %s. Arrived in all: %s.", clause(s.About), strings.Join(parts, "; "))
}

const (
	latencyHeight = 220
	arrivedHeight = 140
	legendRow     = 15
	gap           = 7
)

// drawIsolation draws the senders' latency above their arrivals, second by second.
func drawIsolation(s result.Scenario, senders []string) ([]byte, error) {
	tracks := tracksOf(s, senders)
	above, err := latencyPanel(s, tracks)
	if err != nil {
		return nil, err
	}
	below, err := arrivedPanel(s, tracks)
	if err != nil {
		return nil, err
	}

	title := wrap(titleStyle(), clause(s.About))
	subtitle := wrap(textStyle(textSize), settings(s)+"; in brackets: what arrived of all healthy messages")
	columns, rows := legendShape(tracks)
	height := 2*chartMargin + 4*gap + latencyHeight + arrivedHeight + legendRow*vg.Length(rows) +
		lineHeight(titleStyle())*vg.Length(len(title)) + lineHeight(textStyle(textSize))*vg.Length(len(subtitle)+2)

	c := newCanvas(height)
	c.text(titleStyle(), title...)
	c.text(textStyle(textSize), subtitle...)
	c.take(gap)
	drawLegend(c.take(legendRow*vg.Length(rows)), tracks, columns, rows)
	c.take(gap)
	c.text(textStyle(textSize), "Latency of messages to healthy receivers: median solid, 99th percentile dashed")
	upper := c.take(latencyHeight + gap)
	c.text(textStyle(textSize), "Of the messages to healthy receivers offered in a second, how many arrived")
	lower := c.rest

	// The panels share the x axis: both are as narrow as the narrower one.
	a, b := above.DataCanvas(upper), below.DataCanvas(lower)
	left, right := max(a.Min.X, b.Min.X), min(a.Max.X, b.Max.X)
	above.Draw(draw.Crop(upper, left-a.Min.X, right-a.Max.X, gap, 0))
	below.Draw(draw.Crop(lower, left-b.Min.X, right-b.Max.X, 0, 0))
	return c.bytes()
}

// legendShape returns how many columns and rows the legend takes.
func legendShape(tracks []track) (columns, rows int) {
	style := textStyle(textSize)
	widest := vg.Length(1)
	for _, t := range tracks {
		widest = max(widest, style.Width(t.label())*fontSlack)
	}
	columns = max(1, int((chartWidth-2*chartMargin)/(widest+thumbnail+2*gap)))
	columns = min(columns, len(tracks))
	rows = (len(tracks) + columns - 1) / columns
	return columns, rows
}

const thumbnail = 24 // width of a line in the legend

// drawLegend names the lines in rows, from left to right.
func drawLegend(c draw.Canvas, tracks []track, columns, rows int) {
	style := textStyle(textSize)
	style.YAlign = draw.YCenter
	width := (c.Max.X - c.Min.X) / vg.Length(columns)
	height := (c.Max.Y - c.Min.Y) / vg.Length(rows)
	for i, t := range tracks {
		x := c.Min.X + width*vg.Length(i%columns)
		y := c.Max.Y - height*(vg.Length(i/columns)+0.5)
		c.StrokeLine2(t.solid(), x, y, x+thumbnail-4, y)
		c.FillText(style, vg.Point{X: x + thumbnail, Y: y}, t.label())
	}
}
