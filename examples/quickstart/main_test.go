package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestRun(t *testing.T) {
	t.Parallel()
	file := write(t, `{"event": "a", "payload": {"n": 1}}

{"event": "b", "payload":   {"text": "é"}}
`)
	for name, test := range map[string]struct {
		args []string
		sent string
	}{
		"built-in events": {nil, "Events: 60, each to 5 receivers."},
		"from a file":     {[]string{"-payloads", file}, "Events: 2, each to 5 receivers."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			var stdout, stderr bytes.Buffer
			err := run(t.Context(), test.args, &stdout, &stderr)
			require.NoError(t, err, stdout.String())
			assert.Less(t, time.Since(start), 20*time.Second)
			assert.Contains(t, stdout.String(), test.sent)
			for _, name := range []string{"healthy", "flaky", "busy", "hung", "gone"} {
				assert.Contains(t, stdout.String(), name)
			}
			assert.Contains(t, stdout.String(), signpost.ErrGone.Error())
			assert.Contains(t, stdout.String(), "All is well")
			assert.NotContains(t, stdout.String(), "\r")
			assert.Empty(t, stderr.String(), "without -v the library's log is quiet")
		})
	}
}

func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted")
	ctx, interrupt := context.WithCancelCause(t.Context())
	stdout := writerFunc(func(p []byte) (int, error) {
		interrupt(interrupted) // by the first word that it says
		return len(p), nil
	})
	start := time.Now()
	err := run(ctx, nil, stdout, &bytes.Buffer{})
	require.ErrorIs(t, err, interrupted)
	assert.Less(t, time.Since(start), 5*time.Second)
}

func TestRunBadInput(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file string
		want string
	}{
		"empty file":          {"", "no events"},
		"empty lines only":    {"\n\n", "no events"},
		"not JSON":            {good + "\n\nhello\n", "line 4: not an event: invalid character 'h'"},
		"truncated JSON":      {good + `{"event": "a", "payl`, "line 2: not an event: unexpected end"},
		"two values":          {`{"event": "a", "payload": {}} {}`, "line 1: not an event"},
		"not an object":       {`["a", {}]`, "line 1: not an event"},
		"event not a string":  {`{"event": 1, "payload": {}}`, "line 1: not an event"},
		"no event":            {good + `{"payload": {}}`, "line 2: no event name"},
		"no payload":          {good + `{"event": "a"}`, "line 2: no payload"},
		"null payload":        {`{"event": "a", "payload": null}`, "line 1: payload null is not an object"},
		"payload not object":  {`{"event": "a", "payload": [1]}`, "line 1: payload [1] is not an object"},
		"endless line":        {good + `"` + strings.Repeat("a", maxLine), "line 2: longer than 2097152 bytes"},
		"event not sendable":  {`{"event": "a\nb", "payload": {}}`, `event 1, "a\nb", to healthy`},
		"payload past 1 MiB":  {`{"event": "a", "payload": {"a": "` + strings.Repeat("a", 1<<20) + `"}}`, "WithMaxPayload"},
		"carriage return bad": {"{\r\n", "line 1: not an event"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := write(t, test.file)
			err := run(t.Context(), []string{"-payloads", file}, &bytes.Buffer{}, &bytes.Buffer{})
			require.ErrorContains(t, err, test.want)
			if strings.Contains(test.want, "line") {
				assert.ErrorContains(t, err, file)
			}
		})
	}
	for name, args := range map[string][]string{
		"missing file":        {"-payloads", filepath.Join(t.TempDir(), "missing.jsonl")},
		"a directory":         {"-payloads", t.TempDir()},
		"unknown flag":        {"-unknown"},
		"unexpected argument": {"events.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{})
			require.ErrorContains(t, err, args[len(args)-1])
		})
	}
}

func TestReadEvents(t *testing.T) {
	events, err := readEvents(strings.NewReader("{\"event\": \"a\", \"payload\":  {\"b\": 1.50}, \"more\": 1}\r\n\n" + good))
	require.NoError(t, err)
	require.Len(t, events, 2)
	assert.Equal(t, "a", events[0].Name)
	assert.Equal(t, `{"b": 1.50}`, string(events[0].Payload), "byte for byte")

	events, err = readEvents(strings.NewReader(strings.Repeat(good, maxEvents+1)))
	require.NoError(t, err)
	assert.Len(t, events, maxEvents)
}

func TestVerdict(t *testing.T) {
	hung := []error{signpost.ErrExhausted, signpost.ErrExpired}
	for name, test := range map[string]struct {
		row  row
		want string // empty: all is well
	}{
		"delivered":     {row{name: "healthy", sent: 3, right: 3, delays: []time.Duration{1, 2, 3}}, ""},
		"dead":          {row{name: "hung", sent: 3, right: 3, reasons: hung}, ""},
		"not delivered": {row{name: "flaky", sent: 3, right: 1}, "flaky: 2 of 3 messages were not delivered"},
		"not dead":      {row{name: "hung", sent: 3, right: 2, reasons: hung}, "hung: 1 of 3 messages were not reported dead"},
		"healthy late":  {row{name: "healthy", sent: 1, right: 1, delays: []time.Duration{2 * maxDelay}}, "healthy: a p99 of 2s"},
		"another late":  {row{name: "busy", sent: 1, right: 1, delays: []time.Duration{2 * maxDelay}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := verdict(&out, []*row{&test.row})
			if test.want == "" {
				require.NoError(t, err)
				assert.Contains(t, out.String(), "All is well")
				return
			}
			require.ErrorContains(t, err, test.want)
			assert.Empty(t, out.String())
		})
	}
}

func TestLedger(t *testing.T) {
	healthy := &receiver{name: "healthy", arrivals: make(map[string]*arrival)}
	gone := &receiver{name: "gone", reasons: []error{signpost.ErrGone}, arrivals: make(map[string]*arrival)}
	receivers := []*receiver{healthy, gone}
	type outcome struct {
		state  signpost.State
		reason error
	}
	for name, test := range map[string]struct {
		to      *receiver
		arrives bool
		outcome outcome
		right   int
	}{
		"delivered":               {healthy, true, outcome{signpost.Delivered, nil}, 1},
		"delivered but not there": {healthy, false, outcome{signpost.Delivered, nil}, 0},
		"died":                    {healthy, true, outcome{signpost.Dead, signpost.ErrExhausted}, 0},
		"pending":                 {healthy, true, outcome{signpost.Retrying, nil}, 0},
		"gone":                    {gone, true, outcome{signpost.Dead, signpost.ErrGone}, 1},
		"dead for another reason": {gone, true, outcome{signpost.Dead, signpost.ErrExpired}, 0},
		"delivered though gone":   {gone, true, outcome{signpost.Delivered, nil}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			m := &signpost.Message{ID: name, Attempts: 2, CreatedAt: time.Now()}
			l.sent(m, test.to)
			if test.arrives {
				test.to.receive(name)
			}
			l.observe(t.Context(), m, signpost.Outcome{State: test.outcome.state, Reason: test.outcome.reason})
			for i, row := range l.rows(receivers) {
				if receivers[i] != test.to {
					assert.Zero(t, row.sent)
					continue
				}
				assert.Equal(t, 1, row.sent)
				assert.Equal(t, 2, row.attempts)
				assert.Equal(t, test.right, row.right)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	assert.Zero(t, (&row{}).percentile(99))
	var r row
	for i := range 200 {
		r.delays = append(r.delays, time.Duration(i+1))
	}
	assert.EqualValues(t, 100, r.percentile(50))
	assert.EqualValues(t, 198, r.percentile(99))
	assert.EqualValues(t, 200, r.percentile(100))
}

func TestWatch(t *testing.T) {
	const line = "delivered    7   retrying    2   dead    1   in flight    3   queued    4"
	stats := func() signpost.Stats {
		return signpost.Stats{Delivered: 7, Waiting: 2, Dead: 1, InFlight: 3, Queued: 4}
	}
	for name, test := range map[string]struct {
		inPlace bool
		want    string
	}{
		"line by line": {false, line + "\n" + line + "\n" + line + "\n\n"},
		"in place":     {true, strings.Repeat("\r"+line, 25+1) + "\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				stop := watch(&out, test.inPlace, stats)
				time.Sleep(2550 * time.Millisecond)
				stop()
				assert.Equal(t, test.want, out.String())
			})
		})
	}
	assert.False(t, isTerminal(&bytes.Buffer{}))
}

const good = `{"event": "a", "payload": {}}` + "\n"

func write(t *testing.T, text string) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
