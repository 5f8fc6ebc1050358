package trial_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/client"
	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
	"github.com/signpost-go/signpost/bench/internal/store"
	"github.com/signpost-go/signpost/bench/internal/trial"
)

func config(sender string) client.Config {
	return client.Config{
		Sender:  sender,
		Senders: senders.Config{Workers: 8, Buffer: 1000, Timeout: time.Minute, Wait: time.Second, Backpressure: true},
		Payload: 300,
	}
}

func open(t *testing.T, r receiver.Config, c client.Config) *trial.Trial {
	t.Helper()
	tr, err := trial.Open(t.Context(), r, c)
	require.NoError(t, err)
	t.Cleanup(tr.Close)
	return tr
}

func TestDeliver(t *testing.T) {
	tr := open(t, receiver.Config{Messages: 300, Hosts: make([]receiver.Host, 3), TLS: true}, config(result.Signpost))
	_, err := tr.Deliver(t.Context(), 0, 100)
	require.NoError(t, err)
	used, err := tr.Deliver(t.Context(), 100, 200)
	require.NoError(t, err)
	assert.Positive(t, used.CPU.Total())
	assert.Positive(t, used.Memory)
	assert.Positive(t, used.Goroutines)
	assert.Zero(t, used.Beside)
	assert.Equal(t, used.CPU.User/200, used.Per(200).User)

	report, err := tr.Report(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 300, report.Arrived)
	for _, at := range report.Arrivals {
		assert.Less(t, at, clock.Now(), "processes share the clock")
	}
}

func TestDeliverSaysWhatWasRefused(t *testing.T) {
	tr := open(t, receiver.Config{Messages: 5, Hosts: []receiver.Host{{Behaviour: receiver.Behaviour{Kind: receiver.Status, Status: 503}}}}, config(result.Loop))
	_, err := tr.Deliver(t.Context(), 0, 5)
	assert.ErrorContains(t, err, "5 of 5 messages were refused: answered 503")
}

func TestSettle(t *testing.T) {
	for _, file := range []string{"", filepath.Join(t.TempDir(), "queue.db")} {
		c := config(result.Signpost)
		c.Senders.Count, c.Senders.File, c.Producers = true, file, 8
		tr := open(t, receiver.Config{Messages: 150, Hosts: make([]receiver.Host, 3)}, c)
		took, used, err := tr.Settle(t.Context(), 0, 50)
		require.NoError(t, err)
		assert.Positive(t, took)
		assert.Positive(t, used.CPU.Total())
		_, _, err = tr.Settle(t.Context(), 50, 100)
		require.NoError(t, err)
	}
}

func TestSettleNeedsASenderThatCounts(t *testing.T) {
	tr := open(t, receiver.Config{Messages: 1, Hosts: make([]receiver.Host, 1)}, config(result.Loop))
	_, _, err := tr.Settle(t.Context(), 0, 1)
	assert.ErrorContains(t, err, "does not count")
}

// What is in the file before the sender is made is delivered beside what it is given.
func TestBacklog(t *testing.T) {
	c := config(result.Signpost)
	c.Senders.File, c.Order = filepath.Join(t.TempDir(), "queue.db"), []int{0}
	c.Backlog, c.BacklogTo = store.Backlog{Messages: 600, First: 10, Payload: 300}, 1
	tr := open(t, receiver.Config{Messages: 610, Hosts: make([]receiver.Host, 2)}, c)
	_, err := tr.Deliver(t.Context(), 0, 10)
	require.NoError(t, err)
	_, err = tr.Deliver(t.Context(), 610, 0) // waits for all 610
	require.NoError(t, err)
}

func TestOffer(t *testing.T) {
	tr := open(t, receiver.Config{Messages: 100, Hosts: make([]receiver.Host, 3)}, config(result.Signpost))
	l := client.Load{Count: 100, Start: clock.Now(), Interval: time.Millisecond}
	l.End = l.Time(99).Add(time.Second)
	loaded, _, err := tr.Offer(t.Context(), l)
	require.NoError(t, err)
	assert.Empty(t, loaded.Refused)
	assert.GreaterOrEqual(t, clock.Now(), l.End)
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	_, err := trial.Open(t.Context(), receiver.Config{}, config(result.Signpost))
	assert.ErrorContains(t, err, "receivers of signpost")
	assert.ErrorContains(t, err, "0 hosts")
	_, err = trial.Open(t.Context(), receiver.Config{Hosts: make([]receiver.Host, 1)}, config("pigeon"))
	assert.ErrorContains(t, err, `"pigeon"`)
}
