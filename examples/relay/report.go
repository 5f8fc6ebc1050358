package main

import (
	"time"

	"github.com/signpost-go/signpost"
)

// A report is what /stats answers. Its names are stable: others count on them.
type report struct {
	Version    string       `json:"version"`
	State      state        `json:"state"`
	Queue      string       `json:"queue"`  // without user, password and options
	Prefix     string       `json:"prefix"` // of the broker's names
	Relays     int          `json:"relays"` // that share the rate limit, this one included; 0: unknown, or it isn't shared
	Dispatcher counts       `json:"dispatcher"`
	Hosts      []hostReport `json:"hosts"`
}

// counts are signpost.Stats.
type counts struct {
	Queued    int    `json:"queued"`
	Waiting   int    `json:"waiting"`
	InFlight  int    `json:"in_flight"`
	Hosts     int    `json:"hosts"`
	Bytes     int64  `json:"bytes"`
	Accepted  uint64 `json:"accepted"`
	Delivered uint64 `json:"delivered"`
	Dead      uint64 `json:"dead"`
	Attempts  uint64 `json:"attempts"`
	Retries   uint64 `json:"retries"`
	Panics    uint64 `json:"panics"`
}

// A hostReport is a signpost.HostStats.
type hostReport struct {
	Host        string     `json:"host"`
	Queued      int        `json:"queued"`
	Waiting     int        `json:"waiting"`
	InFlight    int        `json:"in_flight"`
	Window      int        `json:"window"`
	Endpoints   int        `json:"endpoints"`
	Paused      int        `json:"paused"`
	PausedUntil *time.Time `json:"paused_until"` // null: it isn't
	LastError   *string    `json:"last_error"`   // null: there was none
}

// newReport makes a report; q and d are nil while the relay starts.
func newReport(c *config, s state, q queue, d *signpost.Dispatcher) report {
	r := report{Version: version, State: s, Queue: c.source.name, Prefix: c.prefix, Hosts: []hostReport{}}
	if d == nil {
		return r
	}
	if q, ok := q.(interface{ relays() int }); ok {
		r.Relays = q.relays()
	}
	r.Dispatcher = counts(d.Stats())
	for _, h := range d.Hosts() {
		x := hostReport{Host: h.Host, Queued: h.Queued, Waiting: h.Waiting, InFlight: h.InFlight, Window: h.Window,
			Endpoints: h.Endpoints, Paused: h.Paused}
		if !h.PausedUntil.IsZero() {
			x.PausedUntil = &h.PausedUntil
		}
		if h.LastError != nil {
			text := h.LastError.Error()
			x.LastError = &text
		}
		r.Hosts = append(r.Hosts, x)
	}
	return r
}
