package main

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLine(t *testing.T) {
	for _, l := range []line{
		{place: 0, kind: slow},
		{place: 1924, kind: len(kinds) - 1},
		{place: 7, kind: fine, id: "msg_-Aa0_", verified: true, sent: 1, at: 2},
		{place: 7, kind: 5, id: "", at: 1},
		{place: 7, kind: 5, id: "a b\n%2F", at: 1_790_000_000_000_000_000},
	} {
		s, ended := strings.CutSuffix(l.String(), "\n")
		require.True(t, ended)
		assert.NotContains(t, s, "\n")
		got, err := parseLine(s)
		require.NoError(t, err)
		assert.Equal(t, l, got)
	}
	for _, s := range []string{
		"", "k", "k 1", "k 1 x", "k -1 2", "k 1 2 3", "k 1 1000", "x 1 2", "a 1 2 3 true 5", "a 1 2 3 true 5 %zz", "a 1 2 0 true 5 id",
		"a 1 2 3 true 5 id more", "a x 2 3 true 5 id",
	} {
		_, err := parseLine(s)
		assert.Error(t, err, "%q", s)
	}
}

func TestPayload(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Now().UnixNano()
	for range 1000 {
		p := payload(r, now)
		assert.GreaterOrEqual(t, len(p), 100)
		assert.LessOrEqual(t, len(p), 20<<10)
		require.Equal(t, now, sentAt(p))
	}
	for _, s := range []string{"", "{}", `{"sent":`, `{"sent":12}`, `{"sent":x,`, `{"sent":-5,`} {
		assert.Zero(t, sentAt([]byte(s)), "%q", s)
	}
}
