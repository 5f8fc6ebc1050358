package report

import (
	"bytes"
	"image/color"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Pictures are as wide as README is shown, about 900 pixels at 96 to the inch.
const (
	chartWidth  = 675
	chartMargin = 12
)

// Text is measured in Liberation Sans; where it is drawn in another font, it may be wider, by a factor of fontSlack at most.
const (
	textSize  = 10
	titleSize = 12.5
	fontSlack = 1.2
)

// textStyle returns the style of text in a picture. It is measured as Liberation Sans, which is as wide as Arial and Helvetica.
func textStyle(points vg.Length) text.Style {
	return text.Style{
		Color:   dark,
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: points},
		YAlign:  text.YBottom,
		Handler: plot.DefaultTextHandler,
	}
}

func titleStyle() text.Style {
	style := textStyle(titleSize)
	style.Font.Weight = xfont.WeightBold
	return style
}

// newPlot returns a plot whose texts, lines and ticks have the style of all pictures.
func newPlot() *plot.Plot {
	p := plot.New()
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		restyle(&axis.Label.TextStyle)
		restyle(&axis.Tick.Label)
		axis.LineStyle.Color = dark
		axis.Tick.LineStyle.Color = dark
		axis.Tick.Length = 5
		axis.Padding = 0
	}
	return p
}

// restyle gives text another font and colour, and leaves its place as it is.
func restyle(style *text.Style) {
	style.Font = textStyle(textSize).Font
	style.Color = dark
}

// rules are faint lines across a plot at its labelled ticks.
func rules() *plotter.Grid {
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal = draw.LineStyle{Color: light, Width: 0.6}
	return grid
}

// columnRules are those of a plot whose values lie along the x axis.
func columnRules() *plotter.Grid {
	grid := rules()
	grid.Vertical, grid.Horizontal = grid.Horizontal, grid.Vertical
	return grid
}

// labelGap is the distance of a label from what it names.
const labelGap = 5

// addLabel writes text beside a place in a plot: to the right of it, or with draw.XRight to the left.
func addLabel(p *plot.Plot, x, y float64, label string, xalign text.XAlignment, yalign text.YAlignment) error {
	style := textStyle(textSize)
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: x, Y: y}}, Labels: []string{label}})
	if err != nil {
		return err
	}
	style.XAlign, style.YAlign = xalign, yalign
	labels.TextStyle[0] = style
	labels.Offset = vg.Point{X: labelGap, Y: 1}
	if xalign == draw.XRight {
		labels.Offset.X = -labelGap
	}
	p.Add(labels)
	return nil
}

// lineHeight is the distance between lines of text.
func lineHeight(style text.Style) vg.Length { return style.Font.Size * 1.35 }

// A canvas is a picture that is being drawn, from the top.
type canvas struct {
	svg  *vgsvg.Canvas
	rest draw.Canvas // what is still free
}

func newCanvas(height vg.Length) *canvas {
	svg := vgsvg.New(chartWidth, height)
	all := draw.New(svg)
	white := draw.Canvas{Canvas: svg, Rectangle: all.Rectangle}
	white.FillPolygon(color.White, []vg.Point{
		all.Min, {X: all.Max.X, Y: all.Min.Y}, all.Max, {X: all.Min.X, Y: all.Max.Y},
	})
	return &canvas{svg, draw.Crop(all, chartMargin, -chartMargin, chartMargin, -chartMargin)}
}

// take returns the uppermost part of what is free.
func (c *canvas) take(height vg.Length) draw.Canvas {
	top := draw.Crop(c.rest, 0, 0, c.rest.Max.Y-c.rest.Min.Y-height, 0)
	c.rest = draw.Crop(c.rest, 0, 0, 0, -height)
	return top
}

// text writes lines from the left margin.
func (c *canvas) text(style text.Style, lines ...string) {
	for _, line := range lines {
		row := c.take(lineHeight(style))
		row.FillText(style, vg.Point{X: row.Min.X, Y: row.Min.Y + style.Font.Size*0.3}, line)
	}
}

// bytes returns the picture. Liberation Sans is not installed everywhere, so fonts of the same width stand in for it.
func (c *canvas) bytes() ([]byte, error) {
	var buf bytes.Buffer
	if _, err := c.svg.WriteTo(&buf); err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(buf.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

// wrap breaks a sentence into lines that fit the picture.
func wrap(style text.Style, sentence string) []string {
	const room = chartWidth - 2*chartMargin
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(sentence) {
		longer := strings.TrimSpace(line + " " + word)
		if line != "" && style.Width(longer)*fontSlack > room {
			lines = append(lines, line)
			longer = word
		}
		line = longer
	}
	return append(lines, line)
}
