package signposttest_test

import (
	"context"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/signposttest"
)

// Shop is a service that announces its orders.
type Shop struct {
	Webhooks    *signpost.Dispatcher
	CustomerURL string
}

// Order announces an order and returns the webhook's ID.
func (s *Shop) Order(ctx context.Context, number int) (string, error) {
	return s.Webhooks.Send(ctx, s.CustomerURL+"/orders", map[string]int{"order": number})
}

// What a service's test of its webhooks looks like: in a file of tests, testOrderIsAnnounced would begin with a capital T.
func Example() {}

func testOrderIsAnnounced(t *testing.T) {
	r := signposttest.NewReceiver(t, signposttest.Reply{Status: 500}, signposttest.Reply{Cut: true})
	d, err := signpost.New(append(r.Options(), signpost.WithRetryPolicy(signpost.RetryPolicy{
		BackOff: func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) },
	}))...)
	require.NoError(t, err)
	defer d.Close()

	shop := &Shop{Webhooks: d, CustomerURL: r.URL}
	id, err := shop.Order(t.Context(), 7)
	require.NoError(t, err)

	got := r.Wait(3) // answered 500, cut off, answered 200
	require.Equal(t, id, got[2].ID)
	require.Equal(t, 3, got[2].Attempt)
	require.JSONEq(t, `{"order": 7}`, string(got[2].Body))
}
