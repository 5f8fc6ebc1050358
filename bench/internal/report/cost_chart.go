package report

import (
	"fmt"
	"image/color"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// A bar is what a delivered message costs with a sender.
type bar struct {
	name        string
	colour      color.NRGBA
	own, beside time.Duration // medians
	least, most time.Duration // of both together
}

// costBars returns the bars of the picture of cost, in the order in which senders are shown.
func costBars(r *result.Report) []bar {
	names := senders(r)
	colours := colours(names)
	var bars []bar
	for _, name := range names {
		runs := headline(100).usage(r, name)
		if len(runs) == 0 {
			continue
		}
		b := bar{name: name, colour: colours[name]}
		var own, beside, both []time.Duration
		for _, u := range runs {
			own = append(own, u.Total())
			beside = append(beside, u.Beside)
			both = append(both, u.Total()+u.Beside)
		}
		b.own, b.beside = result.Median(own), result.Median(beside)
		b.least, b.most = slices.Min(both), slices.Max(both)
		bars = append(bars, b)
	}
	return bars
}

// label is what stands at the end of a bar.
func (b bar) label() string {
	if b.beside == 0 {
		return duration(b.own)
	}
	return fmt.Sprintf("%s + %s in Redis", duration(b.own), duration(b.beside))
}

// costAlternative says in words what the picture shows.
func costAlternative(bars []bar) string {
	var parts []string
	for _, b := range bars {
		parts = append(parts, b.name+" "+b.label())
	}
	return "Bars: CPU time for each delivered 1 KiB message, over plain HTTP to 100 hosts. " + strings.Join(parts, "; ") + "."
}

const (
	barWidth = 16
	barRow   = 28
)

// drawCost draws a bar for every sender, from the top.
func drawCost(bars []bar) ([]byte, error) {
	p := newPlot()
	p.X.Min = 0
	p.X.Label.Text = "µs"
	p.X.Tick.Marker = plot.TickerFunc(microseconds)
	p.Add(columnRules())
	names := make([]string, len(bars))
	var widestName, widestLabel vg.Length
	for i, b := range bars {
		widestName = max(widestName, textStyle(textSize).Width(b.name))
		widestLabel = max(widestLabel, textStyle(textSize).Width(b.label()))
		row := len(bars) - 1 - i // the y axis points upwards
		names[row] = b.name
		if err := b.draw(p, float64(row)); err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
	}
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(bars))-0.5
	p.Y.Padding = labelGap + (fontSlack-1)*widestName // a name in a wider font reaches further to the right

	c := newCanvas(2*chartMargin + gap + lineHeight(titleStyle()) + lineHeight(textStyle(textSize)) + barRow*vg.Length(len(bars)) + 40)
	c.text(titleStyle(), "CPU time for each delivered 1 KiB message")
	c.text(textStyle(textSize), "plain HTTP, 100 hosts; bars are medians over runs, whiskers reach from the least to the most")
	c.take(gap)
	p.Draw(draw.Crop(c.rest, 0, -(fontSlack-1)*widestLabel, 0, 0))
	return c.bytes()
}

// draw adds b to p at height y.
func (b bar) draw(p *plot.Plot, y float64) error {
	own, err := plotter.NewBarChart(plotter.Values{micros(b.own)}, barWidth)
	if err != nil {
		return err
	}
	own.Horizontal, own.XMin, own.Color, own.LineStyle.Width = true, y, b.colour, 0
	p.Add(own)
	end := max(micros(b.own+b.beside), micros(b.most))
	if b.beside > 0 {
		beside, err := plotter.NewBarChart(plotter.Values{micros(b.beside)}, barWidth)
		if err != nil {
			return err
		}
		paler := b.colour
		paler.A = 0x60
		beside.Horizontal, beside.XMin, beside.Color, beside.LineStyle.Width = true, y, paler, 0
		beside.StackOn(own)
		p.Add(beside)
	}
	if b.least < b.most {
		whisker := []plotter.XYs{
			{{X: micros(b.least), Y: y}, {X: micros(b.most), Y: y}},
			{{X: micros(b.least), Y: y - 0.12}, {X: micros(b.least), Y: y + 0.12}},
			{{X: micros(b.most), Y: y - 0.12}, {X: micros(b.most), Y: y + 0.12}},
		}
		for _, points := range whisker {
			line, err := plotter.NewLine(points)
			if err != nil {
				return err
			}
			line.LineStyle = draw.LineStyle{Color: dark, Width: 0.8}
			p.Add(line)
		}
	}
	return addLabel(p, end, y, b.label(), draw.XLeft, draw.YCenter)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// microseconds are the ticks that the library chooses, with commas between thousands.
func microseconds(least, most float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(least, most)
	for i, t := range ticks {
		if !t.IsMinor() {
			ticks[i].Label = decimal(t.Value, 2)
		}
	}
	return ticks
}
