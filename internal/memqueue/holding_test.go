package memqueue

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewHolding()
		const n = 100_000
		held := make([]*signpost.Message, n)
		for i := range held {
			held[i] = &signpost.Message{ID: fmt.Sprint(i), URL: fmt.Sprintf("http://held.example/%d", i%1000)}
		}
		require.NoError(t, q.Enqueue(t.Context(), held...))
		begin := time.Now()
		for i := range 100 {
			q.Hold("held.example:80", begin.Add(time.Hour))
			require.NoError(t, q.Enqueue(t.Context(), &signpost.Message{ID: fmt.Sprint("other", i), URL: "http://other.example/"}))
			l := receive(t, q.Queue)
			assert.Equal(t, fmt.Sprint("other", i), l.Message().ID)
			require.NoError(t, l.Settle(t.Context(), signpost.Outcome{State: signpost.Delivered}))
		}
		require.Equal(t, "0", receive(t, q.Queue).Message().ID)
		assert.Equal(t, time.Hour, time.Since(begin))

		q.Hold("held.example:80", time.Now().Add(time.Hour))
		next := q.Reopen()
		assert.NotPanics(t, func() { q.Hold("held.example:80", time.Time{}) })
		assert.Equal(t, n, next.Len())
		receive(t, next.Queue)
		assert.Equal(t, time.Hour, time.Since(begin), "what is reopened holds nothing back")
	})
}
