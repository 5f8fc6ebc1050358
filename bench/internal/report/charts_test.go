package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// pictures draws both pictures of r.
func pictures(t *testing.T, r *result.Report) (isolation, cost string) {
	t.Helper()
	s, ok := pictured(r)
	require.True(t, ok)
	i, err := drawIsolation(s, senders(r))
	require.NoError(t, err)
	c, err := drawCost(costBars(r))
	require.NoError(t, err)
	return string(i), string(c)
}

// texts returns the texts of an SVG, which must be well formed.
func texts(t *testing.T, svg string) []string {
	t.Helper()
	var texts []string
	inText := false
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return texts
		}
		require.NoError(t, err)
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
		case xml.CharData:
			if inText {
				texts = append(texts, string(token))
			}
		case xml.EndElement:
			inText = false
		}
	}
}

func TestPicturesNameEverySender(t *testing.T) {
	r := sample()
	r.Senders[0].Name = "<a> & \"b\""
	for _, s := range r.Together {
		s.Isolation[0].Sender = r.Senders[0].Name
	}
	r.Costs[0].Sender, r.Costs[1].Sender = r.Senders[0].Name, r.Senders[0].Name
	isolation, cost := pictures(t, r)
	for _, s := range r.Senders {
		assert.Contains(t, strings.Join(texts(t, isolation), "\n"), s.Name)
		assert.Contains(t, texts(t, cost), s.Name)
	}
	assert.Subset(t, texts(t, isolation), []string{"signpost (100 %)", "receivers go bad", "1 ms", "10 ms", "1 s", "100 %", "seconds into the run"})
	assert.Subset(t, texts(t, cost), []string{"76 µs", "236 µs + 97 µs in Redis"})
}

func TestPicturesAreTheSameForTheSameReport(t *testing.T) {
	isolation, cost := pictures(t, sample())
	for range 3 {
		i, c := pictures(t, sample())
		assert.Equal(t, isolation, i)
		assert.Equal(t, cost, c)
	}
}

func TestPicturesReadOnAnyMachine(t *testing.T) {
	isolation, cost := pictures(t, sample())
	for _, svg := range []string{isolation, cost} {
		assert.Equal(t, strings.Count(svg, "<text"), strings.Count(svg, "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))
		assert.Contains(t, svg, "fill:#FFFFFF", "a white background, for readers in the dark")
		assert.Contains(t, svg, `width="675pt"`)
	}
}

// Signpost's lines are drawn over those of the others, in whatever order the senders are shown.
func TestSignpostIsDrawnLast(t *testing.T) {
	r := sample()
	last := len(r.Senders) - 1
	r.Senders[0], r.Senders[last] = r.Senders[last], r.Senders[0]
	isolation, _ := pictures(t, r)
	const blue = "stroke:#0072B2"
	ours := strings.LastIndex(isolation, blue)
	require.Positive(t, ours)
	for _, other := range others[:last] {
		assert.Less(t, strings.LastIndex(isolation, "stroke:"+hex(other.R, other.G, other.B)), ours)
	}
}

func hex(parts ...uint8) string {
	const digits = "0123456789ABCDEF"
	s := "#"
	for _, p := range parts {
		s += string(digits[p>>4]) + string(digits[p&15])
	}
	return s
}

func TestThePictureOfIsolationPrefersHostsThatGoBadHalfWay(t *testing.T) {
	r := sample()
	s, ok := pictured(r)
	assert.True(t, ok)
	assert.Equal(t, "halfway", s.Name)

	r.Together = r.Together[:2]
	s, ok = pictured(r)
	assert.True(t, ok)
	assert.Equal(t, "hung", s.Name)
	isolation, _ := pictures(t, r)
	assert.NotContains(t, texts(t, isolation), "receivers go bad", "they are bad from the beginning")

	r.Together = r.Together[:1]
	_, ok = pictured(r)
	assert.False(t, ok)
}

// A line has a gap where no message arrived, and one second between gaps is still to be seen.
func TestUnusualRunsCanBeDrawn(t *testing.T) {
	second := func(arrived int, latency time.Duration) result.Second {
		return result.Second{Offered: 10, Arrived: arrived, P50: latency, P99: latency, Max: latency}
	}
	for name, timeline := range map[string][]result.Second{
		"one second":             {second(10, time.Millisecond)},
		"nothing ever arrives":   {second(0, 0), second(0, 0)},
		"nothing is offered":     {{}, {}},
		"alone between gaps":     {second(0, 0), second(10, time.Millisecond), second(0, 0)},
		"beyond the axis's ends": {second(10, 0), second(10, 10*time.Nanosecond), second(10, time.Hour)},
		"long":                   make([]result.Second, 5000),
	} {
		t.Run(name, func(t *testing.T) {
			s := result.Scenario{
				Name: "halfway", About: strings.Repeat("A long sentence about what happens here. ", 8),
				Isolation: []result.Isolation{{Sender: result.Signpost, Timeline: timeline}, {Sender: "without seconds"}},
			}
			svg, err := drawIsolation(s, []string{result.Signpost, "without seconds"})
			require.NoError(t, err)
			assert.NotEmpty(t, texts(t, string(svg)))
			assert.NotContains(t, string(svg), "NaN")
			assert.NotContains(t, string(svg), "Inf")
		})
	}
}

func TestASenderThatCostsNothingCanBeDrawn(t *testing.T) {
	svg, err := drawCost([]bar{{name: "free"}})
	require.NoError(t, err)
	assert.NotContains(t, string(svg), "NaN")
	assert.Contains(t, texts(t, string(svg)), "0 ns")
}
