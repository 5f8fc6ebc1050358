package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"github.com/signpost-go/signpost/bench/internal/result"
)

// decimal writes x with commas between thousands and at most the given digits after the point.
func decimal(x float64, digits int) string {
	return message.NewPrinter(language.English).Sprint(number.Decimal(x, number.MaxFractionDigits(digits)))
}

// count writes a whole number: 18,000.
func count(n int) string { return decimal(float64(n), 0) }

// significant writes x with three significant digits, or all those before the point: 0.0123, 1.5, 12,346.
func significant(x float64) string {
	if x == 0 {
		return "0"
	}
	return decimal(x, max(0, 2-int(math.Floor(math.Log10(math.Abs(x))))))
}

func times(x float64) string { return significant(x) + "×" }

// nanoseconds writes a duration of ns nanoseconds in the unit that gives it one to three digits before the point.
func nanoseconds(ns float64) string {
	const thousand = 999.5 // what rounds to a thousand belongs to the next unit
	switch {
	case ns < thousand:
		return significant(ns) + " ns"
	case ns < thousand*1e3:
		return significant(ns/1e3) + " µs"
	case ns < thousand*1e6:
		return significant(ns/1e6) + " ms"
	}
	return significant(ns/1e9) + " s"
}

func duration(d time.Duration) string { return nanoseconds(float64(d)) }

// minutes writes how long something takes, as one tells a person.
func minutes(d time.Duration) string {
	switch m := int(d.Round(time.Minute) / time.Minute); m {
	case 0:
		return "less than a minute"
	case 1:
		return "1 minute"
	default:
		return count(m) + " minutes"
	}
}

func size(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB"}
	unit := 0
	for n >= 1024 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	return significant(n) + " " + units[unit]
}

// percent writes the part that n is of all. It is cut, not rounded: 100 % is all of them.
func percent(n, all int) string {
	if all == 0 {
		return "–"
	}
	switch p := 100 * float64(n) / float64(all); {
	case n == all || n == 0:
		return decimal(p, 0) + " %"
	case p < 0.1:
		return "< 0.1 %"
	case p > 99.9:
		return decimal(math.Floor(p*100)/100, 2) + " %"
	default:
		return decimal(math.Floor(p*10)/10, 1) + " %"
	}
}

// arrived writes how many of the healthy messages have arrived.
func arrived(n, all int) string {
	if all == 0 {
		return "–"
	}
	return fmt.Sprintf("%s of %s (%s)", count(n), count(all), percent(n, all))
}

// latency writes a latency of messages of which n have arrived: of none there is no latency.
func latency(d time.Duration, n int) string {
	if n == 0 {
		return "–"
	}
	return duration(d)
}

// spread writes the median of v and, if they differ, the least and the most.
func spread(v []float64, show func(float64) string) string {
	if len(v) == 0 {
		return "–"
	}
	median, least, most := show(result.Median(v)), show(slices.Min(v)), show(slices.Max(v))
	if least == most {
		return median
	}
	return fmt.Sprintf("%s (%s – %s)", median, least, most)
}

// each returns what get returns for every element of s, as numbers.
func each[E any, N ~int | ~int64 | ~float64](s []E, get func(E) N) []float64 {
	v := make([]float64, len(s))
	for i, e := range s {
		v[i] = float64(get(e))
	}
	return v
}

// median writes the median of a part of usage.
func median(runs []result.Usage, get func(result.Usage) time.Duration) string {
	return nanoseconds(result.Median(each(runs, get)))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}
