package kafka

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		done spans
		text string
	}{
		"nothing":               {nil, ""},
		"the next but one":      {spans{{101, 102}}, "1BgI"},
		"many in a row":         {spans{{104, 1_000_104}}, "1BvCShegB8AYPAA"},
		"one that is far ahead": {spans{{8_000_100, 8_000_101}}, "1gJL0AQYB"},
		"whole bytes":           {spans{{108, 124}}, "1BAk"},
	} {
		t.Run(name, func(t *testing.T) {
			text := encodeDone(100, c.done)
			done, err := decodeDone(100, text)
			require.NoError(t, err)
			assert.Equal(t, c.done, done)
			if name != "many in a row" {
				assert.Equal(t, c.text, text)
			} else {
				assert.Less(t, len(text), 16)
			}
		})
	}
}

// However messages end, metadata of Kafka's default size stand for more than 24,000 of them.
func TestMetadataOfAFullWindow(t *testing.T) {
	for _, share := range []float64{0.001, 0.02, 0.1, 0.5, 0.9, 0.98, 0.999} {
		for range 20 {
			var done spans
			for o := int64(1); o < 24_000; o++ {
				if rand.Float64() < share {
					done.add(o, o+1)
				}
			}
			text := encodeDone(0, done)
			assert.LessOrEqual(t, len(text), 4096, share)
			again, err := decodeDone(0, text)
			require.NoError(t, err)
			require.Equal(t, done, again)
		}
	}
}

// What doesn't fit is left out from the end.
func TestMetadataThatDoNotFit(t *testing.T) {
	var done spans
	for o := int64(1); o < 100_000; o += 2 {
		done.add(o, o+1)
	}
	text, through := fitDone(0, done, 1000)
	assert.LessOrEqual(t, len(text), 1000)
	got, err := decodeDone(0, text)
	require.NoError(t, err)
	assert.Equal(t, done[:len(got)], got)
	assert.Equal(t, done[len(got)].from, through)
	assert.Greater(t, through, int64(5000))

	_, through = fitDone(0, done[:100], 1000)
	assert.Greater(t, through, int64(1e18), "everything fits")
	text, through = fitDone(0, done, 0)
	assert.Empty(t, text)
	assert.Equal(t, int64(1), through)
}

func TestMetadataThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"another version": "2BgI", "no base64": "1*", "cut off": "1Bg", "an empty piece": "1AA", "a kind that is none": "1Bw",
		"beyond all":   "1" + textEncoding.EncodeToString([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}),
		"no end":       "1" + textEncoding.EncodeToString([]byte{0x80}),
		"of a program": "consumer-1",
	} {
		t.Run(name, func(t *testing.T) {
			done, err := decodeDone(0, text)
			assert.Error(t, err)
			assert.Nil(t, done)
		})
	}
	_, err := decodeDone(-1, "1BgI")
	assert.Error(t, err)
}

// Whatever is decoded is encoded to what is decoded to the same, and never longer than what was decoded needed be.
func FuzzMetadata(f *testing.F) {
	f.Add(int64(0), "1BgI")
	f.Add(int64(100), encodeDone(100, spans{{101, 110}, {115, 200}, {1 << 30, 1<<30 + 5}}))
	f.Add(int64(1)<<62, "1gJL0AQYB")
	f.Fuzz(func(t *testing.T, base int64, text string) {
		done, err := decodeDone(base, text)
		if err != nil {
			return
		}
		before := int64(-1)
		for _, s := range done {
			require.Less(t, s.from, s.to)
			require.Less(t, before, s.from, "in order, and they don't touch")
			require.GreaterOrEqual(t, s.from, base)
			before = s.to
		}
		again, err := decodeDone(base, encodeDone(base, done))
		require.NoError(t, err)
		require.Equal(t, done, again)
	})
}
