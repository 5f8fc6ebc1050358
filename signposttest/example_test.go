package signposttest_test

import (
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/signposttest"
)

func Example() {
	// In a file of tests: func TestOrderIsAnnounced(t *testing.T)
	_ = func(t *testing.T) {
		r := signposttest.NewReceiver(t, signposttest.Reply{Status: 500}, signposttest.Reply{Cut: true})
		d, err := signpost.New(append(r.Options(), signpost.WithRetryPolicy(signpost.RetryPolicy{
			BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) },
		}))...)
		require.NoError(t, err)
		t.Cleanup(func() { d.Close() })

		// The code under test would do this:
		id, err := d.Send(t.Context(), r.URL+"/orders", map[string]int{"order": 7})
		require.NoError(t, err)

		got := r.Wait(3) // answered 500, cut off, answered 200
		require.Equal(t, id, got[2].ID)
		require.Equal(t, 3, got[2].Attempt)
		require.JSONEq(t, `{"order": 7}`, string(got[2].Body))
	}
}
