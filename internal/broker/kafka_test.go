//go:build servers

package broker

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKafkaIsKilledAndStartedAgain(t *testing.T) {
	s, err := StartKafka(t.TempDir(), map[string]string{"num.partitions": "2"})
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Stop()) })
	dial := func() error {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			return err
		}
		defer conn.Close()
		return greetKafka(conn)
	}
	require.NoError(t, dial())

	require.NoError(t, s.Kill())
	assert.Error(t, dial())
	require.NoError(t, s.Start())
	require.NoError(t, dial())

	require.NoError(t, s.Freeze())
	require.NoError(t, s.Thaw())
	require.NoError(t, dial())

	require.NoError(t, s.Stop())
	assert.Error(t, dial())
}

func TestKafkaThatDoesNotStartSaysWhy(t *testing.T) {
	_, err := StartKafka(t.TempDir(), map[string]string{"process.roles": "nonsense"})
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	assert.ErrorContains(t, err, "nonsense")
}
