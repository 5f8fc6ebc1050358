package server_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/child"
	"github.com/signpost-go/signpost/bench/internal/server"
)

func TestMain(m *testing.M) {
	child.Main(map[string]func() child.Service{server.Role: server.NewService})
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector lets every child sleep for a second at its end
	os.Exit(m.Run())
}

func TestServer(t *testing.T) {
	for _, c := range []server.Config{
		{Kind: server.Redis, Fsync: "always"}, {Kind: server.RabbitMQ}, {Kind: server.Kafka},
	} {
		t.Run(c.Kind, func(t *testing.T) {
			t.Parallel()
			c.Folder = t.TempDir()
			p, err := child.Start(t.Context(), server.Role, c.Kind)
			require.NoError(t, err)
			t.Cleanup(p.Close)
			var started server.Started
			require.NoError(t, p.Call(t.Context(), "server.Start", c, &started))
			if started.Missing != "" {
				t.Skip(started.Missing)
			}
			network, address := "unix", started.Address
			if c.Kind != server.Redis {
				network, address = "tcp", address[strings.LastIndexByte(address, '@')+1:]
			}
			conn, err := net.Dial(network, strings.TrimSuffix(address, "/"))
			require.NoError(t, err)
			conn.Close()
			assert.Regexp(t, `^\d+\.\d+`, started.Version)
			var taken time.Duration
			require.NoError(t, p.Call(t.Context(), "server.CPU", struct{}{}, &taken))
			if c.Kind != server.Redis { // which starts within less than the kernel counts
				assert.Positive(t, taken)
			}
			require.NoError(t, p.Call(t.Context(), "server.Stop", struct{}{}, nil))
			_, err = net.Dial(network, strings.TrimSuffix(address, "/"))
			assert.Error(t, err, "nobody is there any more")
		})
	}
}

func TestWhatIsNotInstalledIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, kind := range []string{server.Redis, server.RabbitMQ, server.Kafka} {
		p, err := child.Start(t.Context(), server.Role, kind)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		var started server.Started
		require.NoError(t, p.Call(t.Context(), "server.Start", server.Config{Kind: kind, Folder: t.TempDir(), Fsync: "always"}, &started))
		assert.Contains(t, started.Missing, "apt-get install", kind)
		assert.Empty(t, started.Address)
	}
}

func TestAKindThatThereIsNot(t *testing.T) {
	p, err := child.Start(t.Context(), server.Role, "pigeons")
	require.NoError(t, err)
	t.Cleanup(p.Close)
	err = p.Call(t.Context(), "server.Start", server.Config{Kind: "pigeons"}, &server.Started{})
	assert.ErrorContains(t, err, `"pigeons"`)
}
