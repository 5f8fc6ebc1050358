package cost_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/cost"
	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
)

func TestCells(t *testing.T) {
	names, others := map[string]bool{}, 0
	for _, c := range cost.Cells() {
		assert.False(t, names[c.String()], "%v is there twice", c)
		names[c.String()] = true
		others += c.Others
		assert.Positive(t, c.Expected())
	}
	assert.Len(t, names, 12, "three sizes, with TLS and without, to one host and to many")
	assert.Positive(t, others)
}

func TestRun(t *testing.T) {
	c := cost.Cell{Payload: 1024, TLS: true, Hosts: 3, Pairs: 2, WarmUp: 50, Counted: 100}
	costs, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, costs, 2)
	for i, sender := range []string{result.Signpost, result.Loop} {
		assert.Equal(t, sender, costs[i].Sender)
		assert.Equal(t, c.Payload, costs[i].Payload)
		assert.Equal(t, c.TLS, costs[i].TLS)
		assert.Equal(t, c.Hosts, costs[i].Hosts)
		assert.Len(t, costs[i].Runs, c.Pairs)
	}
}

func TestRunOfAllSenders(t *testing.T) {
	if !redis.Installed() {
		t.Skip(redis.ErrMissing)
	}
	c := cost.Cell{Payload: 1024, Hosts: 3, Pairs: 2, Others: 1, WarmUp: 20, Counted: 50}
	costs, err := c.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, costs, len(senders.Kinds()))
	for _, m := range costs {
		want := c.Others
		if m.Sender == result.Signpost || m.Sender == result.Loop {
			want = c.Pairs
		}
		assert.Len(t, m.Runs, want, m.Sender)
		for _, u := range m.Runs {
			assert.Positive(t, u.Total(), m.Sender)
		}
	}
}
