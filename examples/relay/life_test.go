package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/queue/sqlite"
)

// A service sends n messages to a host, and doesn't get to deliver them. It has its file open until the returned function is called.
func service(t *testing.T, r *receiver, n int) (file string, stop func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "webhooks.db")
	q, err := sqlite.Open(ctx, file, sqlite.WithLogger(quiet))
	require.NoError(t, err)
	d, err := signpost.New(signpost.WithQueue(q), signpost.WithWorkers(0), signpost.WithoutSigning(), signpost.WithLogger(quiet),
		signpost.WithAllowedNetworks("127.0.0.0/8"))
	require.NoError(t, err)
	for i := range n {
		_, err := d.Send(ctx, r.url(0)+"?secret=of+the+receiver", map[string]int{"order": i})
		require.NoError(t, err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			require.NoError(t, d.Close())
			require.NoError(t, q.Close())
		}
	}
	t.Cleanup(stop)
	return file, stop
}

// inFile are the counts of a file that nobody has open.
func inFile(t *testing.T, file string) sqlite.Counts {
	t.Helper()
	q, err := sqlite.Open(ctx, file, sqlite.WithLogger(quiet))
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	counts, err := q.Counts(ctx)
	require.NoError(t, err)
	return counts
}

func TestFinishesWhatAServiceHasLeft(t *testing.T) {
	r := newReceiver(t, 1)
	file, stop := service(t, r, 25)
	stop()
	p := relay(t, "SIGNPOST_QUEUE=sqlite://"+file)
	p.awaitReady()
	eventually(t, func() bool { return p.stats().Dispatcher.Delivered == 25 }, "all are delivered")

	s := p.stats()
	assert.Equal(t, "1.2.3-test", s.Version)
	assert.Equal(t, delivering, s.State)
	assert.Equal(t, "sqlite://"+file, s.Queue)
	require.Len(t, s.Hosts, 1)
	assert.Equal(t, r.hosts[0], s.Hosts[0].Host)

	p.stop()
	assert.Equal(t, 25, r.distinct())
	assert.Equal(t, 25, r.times(), "nothing comes twice")
	assert.Equal(t, sqlite.Counts{Delivered: 25}, inFile(t, file))
	assert.Len(t, p.records("relay: delivered"), 25, "each delivery is in the log")
	assert.NotContains(t, p.text(), "of+the+receiver", "no query string is")
}

const inUse = "relay: the file is in use, will try until it isn't"

func TestWaitsUntilTheServiceHasLeftItsFile(t *testing.T) {
	r := newReceiver(t, 1)
	file, stop := service(t, r, 1)
	p := relay(t, "SIGNPOST_QUEUE=sqlite://"+file)
	eventually(t, func() bool { return len(p.records(inUse)) > 0 }, "it finds the file in use")
	status, _ := p.get("/healthz")
	assert.Equal(t, http.StatusOK, status, "the process lives")
	status, body := p.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "starting\n", body)
	assert.Equal(t, starting, p.stats().State)

	stop()
	p.awaitReady()
	eventually(t, func() bool { return r.times() == 1 }, "it delivers")
	assert.Len(t, p.records(inUse), 1, "it says so once")
	p.stop()
}

func TestStopsWhileItWaitsForItsQueue(t *testing.T) {
	r := newReceiver(t, 1)
	file, _ := service(t, r, 1)
	p := relay(t, "SIGNPOST_QUEUE=sqlite://"+file)
	eventually(t, func() bool { return len(p.records(inUse)) > 0 }, "it finds the file in use")
	p.stop()
}

// held is a relay in the middle of a delivery, which goes on until the receiver is opened.
func held(t *testing.T, environ ...string) (p *process, r *receiver, file string) {
	t.Helper()
	r = newReceiver(t, 1)
	r.shut()
	file, stop := service(t, r, 1)
	stop()
	p = relay(t, append(environ, "SIGNPOST_QUEUE=sqlite://"+file)...)
	eventually(t, func() bool { return r.times() == 1 }, "the request has come")
	return p, r, file
}

func TestFinishesADeliveryBeforeItStops(t *testing.T) {
	p, r, file := held(t, "SIGNPOST_DRAIN=5m", "SIGNPOST_TIMEOUT=5m")
	p.signal(syscall.SIGTERM)
	p.await("/readyz", http.StatusServiceUnavailable)
	_, body := p.get("/readyz")
	assert.Equal(t, "draining\n", body)
	status, _ := p.get("/healthz")
	assert.Equal(t, http.StatusOK, status, "one that drains isn't killed")
	assert.Equal(t, draining, p.stats().State)

	r.open()
	require.Zero(t, p.wait().ExitCode())
	assert.Equal(t, sqlite.Counts{Delivered: 1}, inFile(t, file))
	assert.Equal(t, 1, r.times(), "it comes once")
}

func TestLeavesToTheQueueWhatTakesLongerThanTheDrain(t *testing.T) {
	p, r, file := held(t, "SIGNPOST_DRAIN=10ms", "SIGNPOST_TIMEOUT=5m")
	p.stop()
	assert.Equal(t, sqlite.Counts{Pending: 1}, inFile(t, file))

	r.open()
	p = relay(t, "SIGNPOST_QUEUE=sqlite://"+file)
	eventually(t, func() bool { return r.times() == 2 && p.stats().Dispatcher.Delivered == 1 }, "the next relay delivers it")
	assert.Equal(t, 1, r.distinct(), "under the same ID")
	p.stop()
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	p, _, file := held(t, "SIGNPOST_DRAIN=5m", "SIGNPOST_TIMEOUT=5m")
	p.signal(os.Interrupt)
	p.await("/readyz", http.StatusServiceUnavailable)
	p.signal(syscall.SIGTERM)
	state := p.wait().Sys().(syscall.WaitStatus)
	assert.True(t, state.Signaled() && state.Signal() == syscall.SIGTERM, "it is the signal that has ended it: %v", state)
	assert.Equal(t, sqlite.Counts{Pending: 1}, inFile(t, file), "what it was doing isn't lost")
}

func TestRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	folder := t.TempDir()
	other := filepath.Join(folder, "text")
	require.NoError(t, os.WriteFile(other, []byte("this is no database, however long one looks at it"), 0o600))
	for name, c := range map[string]struct{ variable, says string }{
		"on an address that is taken":   {"SIGNPOST_LISTEN=" + taken.Addr().String(), "address already in use"},
		"without a file":                {"SIGNPOST_QUEUE=sqlite://" + folder + "/nothing.db", "a file that a service has left"},
		"with a file of another kind":   {"SIGNPOST_QUEUE=sqlite://" + other, "not a queue"},
		"with a variable that it lacks": {"SIGNPOST_RATELIMIT=50/s", "SIGNPOST_RATELIMIT is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, 1)
			file, stop := service(t, r, 0)
			stop()
			p := launch(t, "SIGNPOST_QUEUE=sqlite://"+file, c.variable)
			require.Equal(t, 1, p.wait().ExitCode())
			assert.Contains(t, p.text(), c.says)
			assert.NoFileExists(t, filepath.Join(folder, "nothing.db"), "it makes no file")
		})
	}
}

// A relay that is killed leaves everything to the next one.
func TestKilled(t *testing.T) {
	p, r, file := held(t, "SIGNPOST_TIMEOUT=5m")
	p.kill()
	r.open()
	p = relay(t, "SIGNPOST_QUEUE=sqlite://"+file)
	eventually(t, func() bool { return p.stats().Dispatcher.Delivered == 1 }, "the next one delivers it")
	p.stop()
	assert.Equal(t, sqlite.Counts{Delivered: 1}, inFile(t, file), fmt.Sprint("it came ", r.times(), " times"))
}
