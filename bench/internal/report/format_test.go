package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ want, got string }{
		{"0", significant(0)},
		{"0.0123", significant(0.01234)},
		{"0.905", significant(0.9052)},
		{"1", significant(0.9999)},
		{"1.5", significant(1.5)},
		{"12.3", significant(12.34)},
		{"123", significant(123.4)},
		{"12,346", significant(12345.6)},
		{"-12.3", significant(-12.34)},
		{"0", count(0)},
		{"999", count(999)},
		{"18,000", count(18000)},
		{"1,000,000", count(1_000_000)},
		{"0.905×", times(0.905)},

		{"0 ns", duration(0)},
		{"999 ns", duration(999)},
		{"1 µs", nanoseconds(999.7)},
		{"0.31 ns", nanoseconds(0.31)},
		{"1.23 µs", duration(1234)},
		{"45.7 µs", duration(45678)},
		{"1 ms", duration(999_900)},
		{"1.2 ms", duration(1200 * time.Microsecond)},
		{"2 s", duration(2 * time.Second)},
		{"1,200 s", duration(20 * time.Minute)},

		{"less than a minute", minutes(20 * time.Second)},
		{"1 minute", minutes(80 * time.Second)},
		{"13 minutes", minutes(13*time.Minute + 20*time.Second)},

		{"200 B", size(200)},
		{"1 KiB", size(1024)},
		{"1.35 KiB", size(1380)},
		{"20 MiB", size(20 << 20)},
		{"7.75 GiB", size(7.75 * (1 << 30))},
		{"2,048 GiB", size(2 << 40)},

		{"100 %", percent(18000, 18000)},
		{"99.99 %", percent(17999, 18000)},
		{"99.5 %", percent(17919, 18000)},
		{"3.2 %", percent(576, 18000)},
		{"< 0.1 %", percent(1, 18000)},
		{"0 %", percent(0, 18000)},
		{"–", percent(0, 0)},
		{"17,999 of 18,000 (99.99 %)", arrived(17999, 18000)},
		{"–", arrived(0, 0)},
		{"–", latency(0, 0)},
		{"3 ms", latency(3*time.Millisecond, 1)},

		{"–", spread(nil, significant)},
		{"5", spread([]float64{5}, significant)},
		{"5", spread([]float64{5, 5, 5}, significant)},
		{"2 (1 – 30)", spread([]float64{30, 1, 2}, significant)},
	} {
		assert.Equal(t, c.want, c.got)
	}
}

func TestTablesEscapeWhatWouldEndACell(t *testing.T) {
	var d document
	d.table("lr", []string{"a|b", "n"}, [][]string{{"`x|y`\nand more", "1"}})
	assert.Equal(t, "| a\\|b | n |\n|---|---:|\n| `x\\|y` and more | 1 |\n\n", d.String())
}
