package sqlite

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
)

func TestOptionsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option Option
		says   string
	}{
		{"nil", nil, "option 2 of 2 is nil"},
		{"logger", WithLogger(nil), "WithLogger: logger nil"},
		{"retention", WithRetention(0), "WithRetention(0s)"},
		{"retention below a second", WithRetention(time.Second - 1), "WithRetention(999.999999ms)"},
		{"response", WithResponseBytes(-1), "WithResponseBytes(-1)"},
		{"large response", WithResponseBytes(16<<10 + 1), "WithResponseBytes(16385): give 0 to 16384"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "queue.db")
			_, err := Open(t.Context(), path, WithLogger(slog.Default()), tt.option)
			assert.ErrorContains(t, err, tt.says)
			assert.ErrorContains(t, err, "sqlite: ")
			assert.NoFileExists(t, path)
			assert.NoFileExists(t, path+".lock")
		})
	}
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "queue.db"), WithResponseBytes(-1), WithRetention(-1))
	assert.ErrorContains(t, err, "WithResponseBytes(-1)")
	assert.ErrorContains(t, err, "WithRetention(-1ns)", "all that is wrong is said")
}

func TestWithResponseBytes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options []Option
		want    int
	}{
		{"default", nil, 1024},
		{"none", []Option{WithResponseBytes(0)}, 0},
		{"few", []Option{WithResponseBytes(10)}, 10},
		{"all", []Option{WithResponseBytes(16 << 10)}, 2000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := newQueue(t, tt.options...)
			enqueue(t, q, messageTo("http://a/", "a"))
			body := []byte(strings.Repeat("x", 2000))
			require.NoError(t, receive(t, q).Settle(t.Context(), signpost.Outcome{State: signpost.Delivered, Attempt: signpost.Attempt{Number: 1, Body: body}}))
			assert.Equal(t, tt.want, ask[int](t, q.file.path, "SELECT length(response) FROM attempts"))
		})
	}
}

func TestWithLogger(t *testing.T) {
	var out strings.Builder
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path)
	enqueue(t, q, messageTo("http://a/", "a"))
	require.NoError(t, q.Close())
	change(t, path, "UPDATE messages SET payload = x'00'")
	q = openQueue(t, path, WithLogger(slog.New(slog.NewTextHandler(&out, nil))))
	enqueue(t, q, messageTo("http://a/", "b"))
	assert.Equal(t, "b", receive(t, q).Message().ID)
	assert.Contains(t, out.String(), "message is damaged")
	assert.Contains(t, out.String(), "id=a")
}
