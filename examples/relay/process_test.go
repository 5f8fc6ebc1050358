package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

// secret is what all relays of these tests sign with.
var secret = signpost.NewSecret()

// A process is a relay.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string        // of its probes; "" if it ended before it listened
	ended   chan struct{} // closed when it has ended and all that it said is in log

	mu  sync.Mutex // protects the following field
	log []string   // its lines
}

// A record is a line of a relay's log.
type record struct {
	Time    time.Time
	Level   string
	Msg     string
	Address string
	ID      string
	URL     string
	Start   time.Time
}

// launch starts a relay with nothing in its environment but what is given, and waits until it listens or has ended.
func launch(t *testing.T, environ ...string) *process {
	t.Helper()
	binary, err := build()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(binary), ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "SIGNPOST_LISTEN=127.0.0.1:0",
		"SIGNPOST_ALLOWED_NETWORKS=127.0.0.0/8", "SIGNPOST_SECRET=" + secret.Reveal()}, environ...)
	said, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	listening := make(chan string, 1)
	go p.listen(said, listening)
	t.Cleanup(func() {
		p.kill()
		text := p.text()
		assert.NotContains(t, text, "DATA RACE")
		assert.NotContains(t, text, secret.Reveal(), "no secret is shown")
		if t.Failed() {
			t.Logf("the relay at %s said:\n%s", p.address, text)
		}
	})
	p.address = <-listening
	return p
}

// relay is launch for a relay that begins to listen.
func relay(t *testing.T, environ ...string) *process {
	t.Helper()
	p := launch(t, environ...)
	require.NotEmpty(t, p.address, "the relay ended: %s", p.text())
	return p
}

// listen keeps what the relay says, until it ends.
func (p *process) listen(said io.Reader, listening chan<- string) {
	defer close(p.ended)
	defer close(listening)
	defer p.cmd.Wait()
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.log = append(p.log, line)
		p.mu.Unlock()
		if strings.Contains(line, `"relay: listening"`) {
			var r record
			json.Unmarshal([]byte(line), &r)
			listening <- r.Address
		}
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, "\n")
}

// records are the lines of the log with the given message, so far.
func (p *process) records(msg string) (found []record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.log {
		var r record
		if json.Unmarshal([]byte(line), &r) == nil && r.Msg == msg {
			found = append(found, r)
		}
	}
	return found
}

// get asks the relay; status 0: it doesn't answer.
func (p *process) get(path string) (status int, body string) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + p.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

func (p *process) stats() (r report) {
	p.t.Helper()
	status, body := p.get("/stats")
	require.Equal(p.t, http.StatusOK, status, body)
	require.NoError(p.t, json.Unmarshal([]byte(body), &r))
	return r
}

func (p *process) awaitReady() {
	p.t.Helper()
	p.await("/readyz", http.StatusOK)
}

// await waits until the relay answers with the given status.
func (p *process) await(path string, want int) {
	p.t.Helper()
	eventually(p.t, func() bool { status, _ := p.get(path); return status == want }, "%s answers %d", path, want)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// wait waits until the relay has ended by itself.
func (p *process) wait() *os.ProcessState {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(p.t, "the relay doesn't end", p.text())
	}
	return p.cmd.ProcessState
}

// stop ends the relay as Kubernetes does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	require.Zero(p.t, p.wait().ExitCode(), p.text())
}

// kill ends it with SIGKILL, if it hasn't ended.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}
