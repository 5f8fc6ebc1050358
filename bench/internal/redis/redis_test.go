package redis_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/redis"
)

func TestServer(t *testing.T) {
	if !redis.Installed() {
		t.Skip(redis.ErrMissing)
	}
	s, err := redis.Start(t.Context(), redis.Config{})
	require.NoError(t, err)
	c, err := net.Dial("unix", s.Socket())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("PING\r\n"))
	require.NoError(t, err)
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "+PONG\r\n", line)
	_, err = s.CPU()
	assert.NoError(t, err)

	version, err := redis.Version(t.Context())
	require.NoError(t, err)
	assert.Regexp(t, `^\d+\.\d+`, version)

	require.NoError(t, s.Close())
	assert.NoDirExists(t, filepath.Dir(s.Socket()))
}

func TestAServerWithALog(t *testing.T) {
	if !redis.Installed() {
		t.Skip(redis.ErrMissing)
	}
	below := t.TempDir()
	s, err := redis.Start(t.Context(), redis.Config{Folder: below, Fsync: "always"})
	require.NoError(t, err)
	assert.Equal(t, below, filepath.Dir(filepath.Dir(s.Socket())))
	c, err := net.Dial("unix", s.Socket())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("CONFIG GET append[of][ns][ly]*\r\n"))
	require.NoError(t, err)
	answer := make([]byte, 1000)
	n, err := c.Read(answer)
	require.NoError(t, err)
	assert.Contains(t, string(answer[:n]), "always")
	assert.Contains(t, string(answer[:n]), "yes")
	require.NoError(t, s.Close())
}

func TestWithoutRedis(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assert.False(t, redis.Installed())
	_, err := redis.Start(t.Context(), redis.Config{})
	assert.ErrorIs(t, err, redis.ErrMissing)
	_, err = redis.Version(t.Context())
	assert.ErrorIs(t, err, redis.ErrMissing)
}

func TestAServerThatDoesNotStart(t *testing.T) {
	folder := t.TempDir()
	script := "#!/bin/sh\necho out of everything\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "redis-server"), []byte(script), 0o700))
	t.Setenv("PATH", folder)
	_, err := redis.Start(context.Background(), redis.Config{})
	assert.ErrorContains(t, err, "it has ended")
	assert.ErrorContains(t, err, "out of everything")
}
