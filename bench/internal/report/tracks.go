package report

import (
	"fmt"
	"image/color"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// A track is what is drawn of a sender over the seconds of a run.
type track struct {
	name     string
	arrived  string // in the whole run
	colour   color.Color
	width    vg.Length
	timeline []result.Second
}

// tracksOf returns the tracks of the senders that ran s, in the order of senders.
func tracksOf(s result.Scenario, senders []string) []track {
	colours := colours(senders)
	var tracks []track
	for _, name := range senders {
		if i, ok := s.By(name); ok {
			t := track{name, percent(i.Arrived, i.Healthy), colours[name], 1.3, i.Timeline}
			if name == result.Signpost {
				t.width = 2.6
			}
			tracks = append(tracks, t)
		}
	}
	return tracks
}

func (t track) label() string { return fmt.Sprintf("%s (%s)", t.name, t.arrived) }

func (t track) solid() draw.LineStyle { return draw.LineStyle{Color: t.colour, Width: t.width} }

func (t track) dashed() draw.LineStyle {
	return draw.LineStyle{Color: t.colour, Width: t.width * 0.6, Dashes: []vg.Length{3, 2}}
}

// draw adds to p a line through what value returns for each second. It has a gap where value returns nothing.
func (t track) draw(p *plot.Plot, style draw.LineStyle, value func(result.Second) (float64, bool)) error {
	var points plotter.XYs
	stroke := func() error {
		if len(points) == 0 {
			return nil
		}
		if len(points) == 1 { // a line that can be seen
			x, y := points[0].X, points[0].Y
			points = plotter.XYs{{X: x - 0.25, Y: y}, {X: x + 0.25, Y: y}}
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		line.LineStyle = style
		p.Add(line)
		points = nil
		return nil
	}
	for i, second := range t.timeline {
		if y, ok := value(second); ok {
			points = append(points, plotter.XY{X: float64(i) + 0.5, Y: y})
		} else if err := stroke(); err != nil {
			return err
		}
	}
	return stroke()
}

// signpostLast returns tracks in the order in which they are drawn: signpost lies over the others.
func signpostLast(tracks []track) []track {
	ours := func(t track) bool { return t.name == result.Signpost }
	last := slices.DeleteFunc(slices.Clone(tracks), func(t track) bool { return !ours(t) })
	return append(slices.DeleteFunc(slices.Clone(tracks), ours), last...)
}

// The latencies that the axis shows in any case.
const (
	leastLatency = 100 * time.Microsecond
	mostLatency  = 30 * time.Second
)

func latencyPanel(s result.Scenario, tracks []track) (*plot.Plot, error) {
	least, most := leastLatency, mostLatency
	for _, t := range tracks {
		for _, second := range t.timeline {
			if second.Arrived > 0 {
				least = min(least, max(second.P50, time.Microsecond)) // a logarithm needs more than 0
				most = max(most, second.P99)
			}
		}
	}
	p := panel(s, tracks, false)
	p.Y.Min, p.Y.Max = least.Seconds(), most.Seconds()
	p.Y.Scale = plot.LogScale{}
	var ticks plot.ConstantTicks
	for d := time.Microsecond; d <= most; d *= 10 {
		ticks = append(ticks, plot.Tick{Value: d.Seconds(), Label: duration(d)})
	}
	p.Y.Tick.Marker = ticks

	latency := func(of func(result.Second) time.Duration) func(result.Second) (float64, bool) {
		return func(second result.Second) (float64, bool) {
			return max(of(second), least).Seconds(), second.Arrived > 0
		}
	}
	for _, t := range signpostLast(tracks) {
		if err := t.draw(p, t.dashed(), latency(func(s result.Second) time.Duration { return s.P99 })); err != nil {
			return nil, err
		}
		if err := t.draw(p, t.solid(), latency(func(s result.Second) time.Duration { return s.P50 })); err != nil {
			return nil, err
		}
	}
	return p, markHalf(p, s, "receivers go bad")
}

func arrivedPanel(s result.Scenario, tracks []track) (*plot.Plot, error) {
	p := panel(s, tracks, true)
	p.X.Label.Text = "seconds into the run"
	p.Y.Min, p.Y.Max = -3, 103 // so that lines along 0 and 100 % are drawn in full
	p.Y.Tick.Marker = plot.ConstantTicks{{Value: 0, Label: "0 %"}, {Value: 50, Label: "50 %"}, {Value: 100, Label: "100 %"}}
	for _, t := range signpostLast(tracks) {
		err := t.draw(p, t.solid(), func(second result.Second) (float64, bool) {
			return 100 * float64(second.Arrived) / float64(max(1, second.Offered)), second.Offered > 0
		})
		if err != nil {
			return nil, err
		}
	}
	return p, markHalf(p, s, "")
}

// panel returns an empty plot over the seconds of s.
func panel(s result.Scenario, tracks []track, labelled bool) *plot.Plot {
	p := newPlot()
	end := s.Duration.Seconds()
	for _, t := range tracks {
		end = max(end, float64(len(t.timeline)))
	}
	p.X.Min, p.X.Max = 0, end
	step := 1.0
	for _, longer := range []float64{2, 5, 10, 20, 30, 60, 120, 300, 600} {
		if end/step > 10 {
			step = longer
		}
	}
	var ticks plot.ConstantTicks
	for x := 0.0; x <= end; x += step {
		label := " " // an empty one would make a minor tick
		if labelled {
			label = decimal(x, 0)
		}
		ticks = append(ticks, plot.Tick{Value: x, Label: label})
	}
	p.X.Tick.Marker = ticks
	p.Add(rules())
	return p
}

// markHalf draws a line where receivers go bad, if they do so in the middle of s, and text to the left of it.
func markHalf(p *plot.Plot, s result.Scenario, text string) error {
	if s.Name != halfway {
		return nil
	}
	half := s.Duration.Seconds() / 2
	line, err := plotter.NewLine(plotter.XYs{{X: half, Y: p.Y.Min}, {X: half, Y: p.Y.Max}})
	if err != nil {
		return err
	}
	line.LineStyle = draw.LineStyle{Color: dark, Width: 0.8, Dashes: []vg.Length{1, 2}}
	p.Add(line)
	if text == "" {
		return nil
	}
	return addLabel(p, half, p.Y.Max, text, draw.XRight, draw.YTop)
}
