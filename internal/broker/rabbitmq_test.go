//go:build servers

package broker

import (
	"errors"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRabbitMQIsKilledAndStartedAgain(t *testing.T) {
	s, err := StartRabbitMQ(t.TempDir(), map[string]string{"max_message_size": "4194304"})
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Stop()) })

	u, err := url.Parse(s.Address())
	require.NoError(t, err)
	dial := func() error {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			return err
		}
		defer conn.Close()
		return greetAMQP(conn)
	}
	require.NoError(t, dial())
	out, err := s.Ctl("eval", "application:get_env(rabbit, max_message_size).")
	require.NoError(t, err)
	assert.Contains(t, out, "4194304")
	out, err = s.Ctl("eval", "application:get_env(rabbit, dead_letter_worker_publisher_confirm_timeout).")
	require.NoError(t, err)
	assert.Contains(t, out, "10000")
	assert.Error(t, s.Start(), "it runs already")

	require.NoError(t, s.Kill())
	assert.Error(t, dial())
	require.NoError(t, s.Kill(), "again")

	require.NoError(t, s.Start())
	require.NoError(t, dial())
	assert.Contains(t, s.Log(), "Server startup complete")

	require.NoError(t, s.Freeze())
	require.NoError(t, s.Thaw())
	require.NoError(t, dial())

	require.NoError(t, s.Stop())
	assert.Error(t, dial())
}

func TestWhatDoesNotStartSaysWhy(t *testing.T) {
	_, err := StartRabbitMQ(t.TempDir(), map[string]string{"no_such_setting": "1"})
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	assert.ErrorContains(t, err, "no_such_setting")
}
