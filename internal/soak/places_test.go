package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPlacesThatCount(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(seconds int) int64 { return begin.Add(time.Duration(seconds) * time.Second).UnixNano() }
	arrival := func(place, kind, sent, arrived int) line {
		return line{place: place, kind: kind, sent: at(sent), at: at(arrived), id: "msg", verified: true}
	}
	ps := newPlaces(addressBook{Places: []placeAddress{
		{URL: "a", Host: 0, Kind: fine}, {URL: "b", Host: 1, Kind: 3}, {URL: "c", Host: 1, Kind: slow},
	}}, 5*time.Second, begin)
	assert.True(t, ps.all[0].alone)
	assert.False(t, ps.all[1].alone)
	for _, c := range []struct {
		name   string
		line   line
		counts bool
	}{
		{"from the start", arrival(0, fine, 1, 2), true},
		{"of another kind from the start", arrival(1, 3, 1, 2), false},
		{"slow", arrival(2, slow, 1, 2), false},
		{"it changes", line{place: 0, kind: 3}, false},
		{"while it is ill", arrival(0, 3, 9, 10), false},
		{"it recovers", line{place: 0, kind: fine}, false},
		{"sent while it was ill", arrival(0, fine, 10, 20), false},
		{"sent before it was calm again", arrival(0, fine, 21, 22), false},
		{"… though it arrived later", arrival(0, fine, 24, 26), false},
		{"sent when it was calm", arrival(0, fine, 26, 27), true},
		{"it has changed since, and that isn't told yet", arrival(0, 3, 27, 28), false},
	} {
		latency, counts := ps.heed(c.line)
		assert.Equal(t, c.counts, counts, c.name)
		if counts {
			assert.Equal(t, time.Second, latency, c.name)
		}
	}
}

func TestLatencies(t *testing.T) {
	var l latencies
	assert.Equal(t, quantiles{}, l.quantiles())
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	l.add(-time.Second) // clocks of two processes
	q := l.take()
	assert.Equal(t, 1001, q.n)
	assert.InEpsilon(t, 500*time.Millisecond, q.p50, 0.03)
	assert.InEpsilon(t, 990*time.Millisecond, q.p99, 0.03)
	assert.Equal(t, time.Second, q.max)
	assert.Equal(t, quantiles{}, l.quantiles(), "taken")
	l.add(240 * time.Hour)
	assert.Equal(t, 240*time.Hour, l.quantiles().max)
}
