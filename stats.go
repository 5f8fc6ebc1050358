package signpost

import (
	"cmp"
	"slices"
	"time"
)

// Stats are a dispatcher's gauges and counters, at one moment.
type Stats struct {
	Queued, Waiting, InFlight, Hosts                     int    // due; waiting for a later time; on the wire; hosts known
	Bytes                                                int64  // payload bytes held
	Accepted, Delivered, Dead, Attempts, Retries, Panics uint64 // since New; Retries are the attempts that weren't a message's first
}

// HostStats are the gauges of one host.
type HostStats struct {
	Host        string    // lower-case name and port
	Queued      int       // messages that are due
	Waiting     int       // messages that wait for a later time
	InFlight    int       // attempts on the wire, or being reported
	Window      int       // attempts that may be in flight
	Endpoints   int       // endpoints known
	Paused      int       // … of them paused, by their own wish or a breaker
	PausedUntil time.Time // when the last pause ends, the host's own included; zero: there is none
	LastError   error     // why the last failed attempt failed; nil: none did since the host is known
}

// Stats returns counters and gauges, one consistent snapshot: what was accepted in memory is delivered, dead,
// queued, waiting or in flight, until Shutdown hands it back. An outcome is counted before the observers hear
// of it.
func (d *Dispatcher) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	c := d.schedule.Counts()
	s.Queued, s.Waiting, s.InFlight = c.Due-d.buried, c.Waiting+d.retold, c.InFlight-d.told-d.retold
	s.Hosts, s.Bytes = d.schedule.Hosts(), d.schedule.Bytes()
	return s
}

// Hosts returns the same by host, sorted by name. It holds up deliveries for as long as it takes to look at
// every endpoint.
func (d *Dispatcher) Hosts() []HostStats {
	d.mu.Lock()
	hosts := make([]HostStats, 0, d.schedule.Hosts())
	for h := range d.schedule.All(time.Now()) {
		hosts = append(hosts, HostStats{
			Host: h.Key, Queued: h.Due, Waiting: h.Waiting, InFlight: h.InFlight, Window: h.Window,
			Endpoints: h.Endpoints, Paused: h.Paused, PausedUntil: h.PausedUntil, LastError: h.LastErr,
		})
	}
	d.mu.Unlock()
	slices.SortFunc(hosts, func(a, b HostStats) int { return cmp.Compare(a.Host, b.Host) })
	return hosts
}
