package report

import (
	"image/color"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// The palette of Masataka Okabe and Kei Ito, Color Universal Design (2008), in which people with any kind of colour vision
// can tell lines apart: https://jfly.uni-koeln.de/color/. Blue is signpost's.
var (
	blue   = color.NRGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	others = []color.NRGBA{
		{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}, // vermilion
		{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}, // orange
		{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}, // bluish green
		{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}, // reddish purple
		{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}, // sky blue
		{R: 0x00, G: 0x00, B: 0x00, A: 0xff}, // black
		{R: 0xf0, G: 0xe4, B: 0x42, A: 0xff}, // yellow
	}
	dark  = color.Gray{Y: 0x30}
	light = color.Gray{Y: 0xdd}
)

// colours gives each sender a colour, the same in all pictures of a report.
func colours(senders []string) map[string]color.NRGBA {
	colours := map[string]color.NRGBA{result.Signpost: blue}
	next := 0
	for _, name := range senders {
		if _, ok := colours[name]; !ok {
			colours[name] = others[next%len(others)]
			next++
		}
	}
	return colours
}
