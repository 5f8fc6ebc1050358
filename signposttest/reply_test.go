package signposttest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestReplyRetryAfter(t *testing.T) {
	t.Parallel()
	header := http.Header{"Retry-After": {"1"}}
	r := NewReceiver(t, Reply{Status: 429, Header: header})
	header.Set("Retry-After", "0") // too late: the reply is copied
	d, outcomes := newDispatcher(t, r.Options()...)
	_, err := d.Send(t.Context(), r.URL, 1)
	require.NoError(t, err)
	got := r.Wait(2)
	assert.GreaterOrEqual(t, got[1].Time.Sub(got[0].Time), time.Second)
	assert.Equal(t, time.Second, (<-outcomes).Attempt.RetryAfter)
}

func TestReplyHang(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t, Reply{Hang: true})
	d, outcomes := newDispatcher(t, append(r.Options(), signpost.WithTimeout(50*time.Millisecond))...)
	_, err := d.Send(t.Context(), r.URL, 1)
	require.NoError(t, err)
	got := r.Wait(2)
	assert.Equal(t, 2, got[1].Attempt)
	o := <-outcomes
	assert.Equal(t, signpost.Retrying, o.State)
	assert.Zero(t, o.Attempt.StatusCode)
	assert.GreaterOrEqual(t, o.Attempt.Duration, 50*time.Millisecond)
	assert.ErrorContains(t, o.Attempt.Err, "deadline exceeded")
}

func TestReplyDrip(t *testing.T) {
	t.Parallel()
	t.Run("a body", func(t *testing.T) {
		r := NewReceiver(t, Reply{Status: 503, Body: "busy", Drip: 5 * time.Millisecond}, Reply{Body: "ok", Drip: time.Nanosecond})
		d, outcomes := newDispatcher(t, r.Options()...)
		_, err := d.Send(t.Context(), r.URL, 1)
		require.NoError(t, err)
		r.Wait(2)
		first, second := (<-outcomes).Attempt, (<-outcomes).Attempt
		assert.Equal(t, 503, first.StatusCode)
		assert.Equal(t, "busy", string(first.Body))
		assert.GreaterOrEqual(t, first.Duration, 20*time.Millisecond)
		assert.Equal(t, 200, second.StatusCode)
		assert.Equal(t, "ok", string(second.Body))
	})
	t.Run("without end", func(t *testing.T) {
		r := NewReceiver(t, Reply{Drip: time.Millisecond})
		d, outcomes := newDispatcher(t, append(r.Options(), signpost.WithTimeout(500*time.Millisecond))...)
		_, err := d.Send(t.Context(), r.URL, 1)
		require.NoError(t, err)
		o := <-outcomes
		assert.Equal(t, signpost.Delivered, o.State, "a 2xx counts even if its body never ends")
		assert.NotEmpty(t, o.Attempt.Body)
		assert.Empty(t, strings.Trim(string(o.Attempt.Body), " "))
		assert.GreaterOrEqual(t, o.Attempt.Duration, 500*time.Millisecond)
	})
}

func TestReplyContradictions(t *testing.T) {
	t.Parallel()
	for want, reply := range map[string]Reply{
		"Hang and Cut exclude each other":                               {Hang: true, Cut: true},
		"Hang and Status 500 exclude each other":                        {Hang: true, Status: 500},
		"Hang and a Header exclude each other":                          {Hang: true, Header: http.Header{"Retry-After": {"1"}}},
		"Cut and a Body exclude each other":                             {Cut: true, Body: "x"},
		"Cut and Drip 1s exclude each other: Cut means that there is":   {Cut: true, Drip: time.Second},
		"Status 100: give 200 to 999, or 0 for 200":                     {Status: 100},
		"Status 1000: give 200 to 999":                                  {Status: 1000},
		"Status -1: give 200 to 999":                                    {Status: -1},
		"Drip -1s: give a positive pause":                               {Drip: -time.Second},
		"Status 204 with a body: HTTP allows none":                      {Status: 204, Body: "x"},
		"Status 304 with a body: HTTP allows none with it; leave Body ": {Status: 304, Drip: time.Second},
	} {
		t.Run(want, func(t *testing.T) {
			fake := &fakeT{}
			fake.run(func() {
				NewReceiver(fake, Reply{}, reply, Reply{Status: 204}, reply)
				assert.Fail(t, "NewReceiver has returned")
			})
			require.Len(t, fake.failed(), 1)
			assert.Contains(t, fake.failed()[0], "signposttest: reply 2: "+want)
			assert.Contains(t, fake.failed()[0], "signposttest: reply 4: "+want)
			assert.NotContains(t, fake.failed()[0], "reply 1:")
			assert.NotContains(t, fake.failed()[0], "reply 3:")
		})
	}
}
