package main

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The limit that the relays of these tests keep together, for each host.
const (
	limitedTo = 50 // a second
	overFive  = limitedTo * 5 * 105 / 100
)

// limits are the variables for it. What they allow to begin in any five seconds is 5 × 50 and the burst of 3, for all relays together;
// and nine attempts more, three by each of three relays, that were allowed before and begin late, since the machine had
// something else to do between the turn that the limit allows and the attempt's start. That is 262 in all, however slow the
// machine is, and 262.5 is 5 % more than the limit.
var limits = []string{"SIGNPOST_RATE_LIMIT=50/s", "SIGNPOST_RATE_BURST=3", "SIGNPOST_HOST_CONCURRENCY=3"}

// launchFleet starts relays that are alike, and waits until each is ready.
func launchFleet(t *testing.T, n int, environ ...string) []*process {
	t.Helper()
	fleet := make([]*process, n)
	for i := range fleet {
		fleet[i] = relay(t, append(environ, limits...)...)
	}
	for _, p := range fleet {
		p.awaitReady()
	}
	return fleet
}

// An attempt is one that was made at some time, by one of a fleet: -1 if it isn't known which.
type attempt struct {
	id    string
	relay int
	start time.Time
}

// attempts returns all attempts at one of the receiver's hosts, in the order of their starts. The start is the sender's word,
// from its log: the limit is about when requests are made. The receiver's clock tells when they are noticed, and a machine that
// was busy for a moment notices many at once.
//
// A relay that was killed has not logged the attempts that it was making, three at most; of these there is the arrival.
func attempts(t *testing.T, fleet []*process, r *receiver, host int) (found []attempt) {
	t.Helper()
	logged := map[string]int{}
	for i, p := range fleet {
		for _, rec := range p.records("relay: delivered") {
			if rec.URL == r.url(host) {
				logged[rec.ID]++
				found = append(found, attempt{rec.ID, i, rec.Start})
			}
		}
	}
	r.mu.Lock()
	for _, a := range r.arrivals {
		if a.host != r.hosts[host] {
			continue
		}
		if logged[a.id]--; logged[a.id] < 0 {
			found = append(found, attempt{a.id, -1, a.at})
		}
	}
	r.mu.Unlock()
	slices.SortFunc(found, func(a, b attempt) int { return a.start.Compare(b.start) })
	return found
}

// busiest is the largest number of attempts that began in any five seconds since the given time.
func busiest(all []attempt, since time.Time) (most int) {
	first := 0
	for i, a := range all {
		for a.start.Sub(all[first].start) >= 5*time.Second || all[first].start.Before(since) && first < i {
			first++
		}
		if !a.start.Before(since) {
			most = max(most, i-first+1)
		}
	}
	return most
}

func TestBusiest(t *testing.T) {
	begin := time.Now()
	var all []attempt
	for _, seconds := range []float64{0, 1, 4.9, 5, 9.8, 20} {
		all = append(all, attempt{start: begin.Add(time.Duration(seconds * float64(time.Second)))})
	}
	assert.Equal(t, 3, busiest(all, begin))
	assert.Equal(t, 3, busiest(all, begin.Add(time.Second)))
	assert.Equal(t, 2, busiest(all, begin.Add(5*time.Second)))
	assert.Equal(t, 1, busiest(all, begin.Add(10*time.Second)))
	assert.Zero(t, busiest(all, begin.Add(time.Hour)))
}

// feed has a host always have messages waiting, until the returned function is called.
func feed(send func(url string), r *receiver, host, waiting int) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for sent := 0; ; {
			for ; sent-r.at(host) < waiting; sent++ {
				send(r.url(host))
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// parts returns how many of the attempts each relay has made, and when the first began and the last.
func parts(all []attempt, fleet []*process) (n []int, first, last time.Time) {
	n = make([]int, len(fleet))
	for _, a := range all {
		if a.relay >= 0 {
			n[a.relay]++
		}
	}
	early := slices.MinFunc(all, func(a, b attempt) int { return a.start.Compare(b.start) })
	late := slices.MaxFunc(all, func(a, b attempt) int { return a.start.Compare(b.start) })
	return n, early.start, late.start
}

// between counts the attempts that began from first to last.
func between(all []attempt, first, last time.Time) int {
	from, _ := slices.BinarySearchFunc(all, first, func(a attempt, t time.Time) int { return a.start.Compare(t) })
	to, _ := slices.BinarySearchFunc(all, last, func(a attempt, t time.Time) int { return cmp.Or(a.start.Compare(t), -1) })
	return to - from
}

// allArrive waits until every message has arrived.
func allArrive(t *testing.T, r *receiver, sent func() int) {
	t.Helper()
	require.Eventually(t, func() bool { return r.distinct() == sent() }, 2*patience, 50*time.Millisecond, "nothing is lost")
}

// await waits until a host has got so many requests.
func await(t *testing.T, r *receiver, host, requests int) {
	t.Helper()
	limit := time.Duration(requests)*time.Second/limitedTo + 2*patience
	require.Eventually(t, func() bool { return r.at(host) >= requests }, limit, 50*time.Millisecond, "host %d gets its messages", host)
}
