package receiver

import "sync"

// gauge counts the connections that are open at bad receivers. It is safe for concurrent use.
type gauge struct {
	mu   sync.Mutex // protects the following fields
	open []int      // connections by host
	bad  []bool     // by host
	now  int        // open at bad hosts, and in use for bad endpoints of others
	most int
}

func newGauge(hosts int) *gauge { return &gauge{open: make([]int, hosts), bad: make([]bool, hosts)} }

// connection notes that a connection to a host was opened (1) or closed (-1).
func (g *gauge) connection(host, change int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[host] += change
	if g.bad[host] {
		g.add(change)
	}
}

// request notes that a request to a bad endpoint began (1) or ended (-1).
func (g *gauge) request(change int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.add(change)
}

// turnBad notes that a host is bad from now on.
func (g *gauge) turnBad(host int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.bad[host] {
		g.bad[host] = true
		g.add(g.open[host])
	}
}

// restart forgets how many there were.
func (g *gauge) restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = g.now
}

// value returns how many there are, and the most there were since the last restart.
func (g *gauge) value() (now, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.most
}

// add requires that mu is held.
func (g *gauge) add(change int) {
	g.now += change
	g.most = max(g.most, g.now)
}
