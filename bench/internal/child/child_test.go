package child_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/child"
)

func TestMain(m *testing.M) {
	child.Main(map[string]func() child.Service{"echo": func() child.Service { return &echo{} }})
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector lets every child sleep for a second at its end
	os.Exit(m.Run())
}

// echo is what the children of these tests do.
type echo struct{ farewell string }

func (e *echo) Say(word string, reply *string) error {
	fmt.Println("this must not come between the replies")
	*reply = word
	return nil
}

func (e *echo) Fail(word string, _ *struct{}) error { return errors.New(word) }

func (e *echo) Die(code int, _ *struct{}) error {
	os.Exit(code)
	return nil
}

func (e *echo) Environment(name string, reply *string) error {
	*reply = os.Getenv(name)
	return nil
}

func (e *echo) Sleep(d time.Duration, _ *struct{}) error {
	time.Sleep(d)
	return nil
}

// Leave has Close make a file.
func (e *echo) Leave(file string, _ *struct{}) error {
	e.farewell = file
	return nil
}

func (e *echo) Close() {
	if e.farewell != "" {
		os.WriteFile(e.farewell, nil, 0o600)
	}
}

func start(t *testing.T, ctx context.Context) *child.Process {
	t.Helper()
	p, err := child.Start(ctx, "echo", "the echo")
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func TestCalls(t *testing.T) {
	p := start(t, t.Context())
	for _, word := range []string{"hello", "again"} {
		var reply string
		require.NoError(t, p.Call(t.Context(), "echo.Say", word, &reply))
		assert.Equal(t, word, reply)
	}
	assert.EqualError(t, p.Call(t.Context(), "echo.Fail", "no luck", nil), "the echo: no luck")
	assert.ErrorContains(t, p.Call(t.Context(), "echo.Sing", "", nil), "echo.Sing")
}

func TestAChildUnderAnotherCommand(t *testing.T) {
	p, err := child.Start(t.Context(), "echo", "the echo", "env", "FAREWELL=adieu")
	require.NoError(t, err)
	defer p.Close()
	var reply string
	require.NoError(t, p.Call(t.Context(), "echo.Environment", "FAREWELL", &reply))
	assert.Equal(t, "adieu", reply)
}

func TestAChildThatDies(t *testing.T) {
	p := start(t, t.Context())
	err := p.Call(t.Context(), "echo.Die", 3, nil)
	assert.ErrorContains(t, err, "the echo: echo.Die")
	assert.ErrorContains(t, err, "exit status 3")
}

func TestAChildEndsWithItsParentsInterest(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*child.Process, context.CancelFunc)
	}{
		{"Close", func(p *child.Process, _ context.CancelFunc) { p.Close() }},
		{"context", func(_ *child.Process, cancel context.CancelFunc) { cancel() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := start(t, ctx)
			file := t.TempDir() + "/farewell"
			require.NoError(t, p.Call(ctx, "echo.Leave", file, nil))
			forgotten, forget := context.WithCancel(ctx)
			forget()
			p.Call(forgotten, "echo.Sleep", time.Hour, nil)
			c.end(p, cancel)
			assert.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, 30*time.Second, time.Millisecond)
		})
	}
}

func TestACallIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	p := start(t, ctx)
	err := p.Call(ctx, "echo.Sleep", time.Hour, nil)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAnUnknownRole(t *testing.T) {
	p, err := child.Start(t.Context(), "cook", "the cook")
	require.NoError(t, err)
	defer p.Close()
	assert.ErrorContains(t, p.Call(t.Context(), "cook.Eggs", "", nil), "exit status 2")
}
