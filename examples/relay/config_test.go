package main

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

// enough is the least that a relay needs.
func enough(more ...string) []string {
	least := []string{"PATH=/bin", "SIGNPOST_QUEUE=amqp://relay:pass%2Fword@broker:5672/hooks", "SIGNPOST_SECRET=" + secret.Reveal()}
	return append(least, more...)
}

func TestConfigHasDefaults(t *testing.T) {
	c, err := readConfig(enough("SIGNPOST_TIMEOUT="))
	require.NoError(t, err)
	assert.Equal(t, "amqp://broker:5672/hooks", c.source.name, "what is shown has no password")
	assert.Equal(t, "amqp://relay:pass%2Fword@broker:5672/hooks", c.source.url)
	c.source, c.signer = source{}, nil
	assert.Equal(t, &config{
		prefix: "signpost", listen: ":8080", rate: 100, hostConcurrency: 32, workers: 256, queueSize: 10_000, queueBytes: 256 << 20,
		timeout: 15 * time.Second, maxAttempts: 8, maxAge: 24 * time.Hour, drain: 25 * time.Second,
		logLevel: slog.LevelInfo, logFormat: "json",
	}, c, "an empty variable counts as not set")
	assert.Equal(t, 100, c.rateBurst())
}

func TestConfigTakesEveryVariable(t *testing.T) {
	c, err := readConfig(enough("SIGNPOST_PREFIX=shop", "SIGNPOST_LISTEN=127.0.0.1:9", "SIGNPOST_RATE_LIMIT=90/m",
		"SIGNPOST_RATE_BURST=6", "SIGNPOST_HOST_CONCURRENCY=2", "SIGNPOST_WORKERS=3", "SIGNPOST_QUEUE_SIZE=4",
		"SIGNPOST_QUEUE_BYTES=5000000", "SIGNPOST_TIMEOUT=6s", "SIGNPOST_MAX_ATTEMPTS=7", "SIGNPOST_MAX_AGE=8h", "SIGNPOST_DRAIN=9s",
		"SIGNPOST_ALLOWED_NETWORKS= 10.1.0.0/16  fd00:1::/32 ", "SIGNPOST_DENIED_NETWORKS=8.8.8.8/32",
		"SIGNPOST_LOG_LEVEL=debug", "SIGNPOST_LOG_FORMAT=text"))
	require.NoError(t, err)
	c.source, c.signer = source{}, nil
	assert.Equal(t, &config{
		prefix: "shop", listen: "127.0.0.1:9", rate: 1.5, burst: 6, hostConcurrency: 2, workers: 3,
		queueSize: 4, queueBytes: 5_000_000, timeout: 6 * time.Second, maxAttempts: 7, maxAge: 8 * time.Hour, drain: 9 * time.Second,
		allowed: []string{"10.1.0.0/16", "fd00:1::/32"}, denied: []string{"8.8.8.8/32"}, logLevel: slog.LevelDebug, logFormat: "text",
	}, c)
}

func TestConfigSaysEverythingThatIsWrong(t *testing.T) {
	_, err := readConfig([]string{"SIGNPOST_WORKERS=0", "SIGNPOST_SECRT=x", "SIGNPOST_TIMEOUT=fast", "SIGNPOST_SECRET="})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 5, "a line for each: %v", err)
	for i, beginning := range []string{
		"SIGNPOST_QUEUE is not set; give it, or SIGNPOST_QUEUE_FILE",
		"SIGNPOST_SECRET is not set; give it, or SIGNPOST_SECRET_FILE",
		"SIGNPOST_SECRT is not known",
		`SIGNPOST_TIMEOUT="fast": give a time`,
		`SIGNPOST_WORKERS="0": give a number from 1 to 100000`,
	} {
		assert.True(t, strings.HasPrefix(lines[i], beginning), "%q begins with %q", lines[i], beginning)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, c := range []struct{ variable, says string }{
		{"SIGNPOST_QUEUE=http://broker", "it must begin with"},
		{"SIGNPOST_QUEUE=hunter2", "it must begin with"},
		{"SIGNPOST_QUEUE=amqp://user:hunter2@", "not a URL"},
		{"SIGNPOST_QUEUE=amqp://user:hunter2%@broker", "not a URL"},
		{"SIGNPOST_QUEUE=kafka://", "no broker"},
		{"SIGNPOST_QUEUE=kafka://user:hunter2@broker", "no broker"},
		{"SIGNPOST_QUEUE=kafka://broker:9092,", "no broker"},
		{"SIGNPOST_QUEUE=kafka://user:hunter2%@broker:9092", "user and password"},
		{"SIGNPOST_QUEUE=kafka://broker:9092?x=%", "question mark"},
		{"SIGNPOST_QUEUE=kafka://broker:9092?tsl=true", "option \"tsl\" is not known"},
		{"SIGNPOST_QUEUE=kafka://broker:9092?tls=yes", "give true or false"},
		{"SIGNPOST_QUEUE=kafka://broker:9092?sasl=plain", "user and password go with"},
		{"SIGNPOST_QUEUE=kafka://user:hunter2@broker:9092", "user and password go with"},
		{"SIGNPOST_QUEUE=kafka://user:hunter2@broker:9092?sasl=gssapi", "give plain"},
		{"SIGNPOST_QUEUE=sqlite://relative/hunter2", "three slashes"},
		{"SIGNPOST_QUEUE=sqlite:///", "three slashes"},
		{"SIGNPOST_SECRET=hunter2", "key 1"},
		{"SIGNPOST_SECRET=" + secret.Reveal() + " whsec_hunter2", "key 2"},
		{"SIGNPOST_SECRET=whsk_hunter2", "key 1"},
		{"SIGNPOST_LISTEN=8080", "give a port"},
		{"SIGNPOST_LISTEN=:http", "give a port"},
		{"SIGNPOST_LISTEN=:65536", "give a port"},
		{"SIGNPOST_RATE_LIMIT=50", "50/s"},
		{"SIGNPOST_RATE_LIMIT=0/s", "above zero"},
		{"SIGNPOST_RATE_LIMIT=NaN/s", "above zero"},
		{"SIGNPOST_RATE_LIMIT=+Inf/s", "none for no limit"},
		{"SIGNPOST_RATE_LIMIT=5/d", "s, m or h"},
		{"SIGNPOST_RATE_BURST=0", "or auto"},
		{"SIGNPOST_QUEUE_BYTES=64M", "give a number"},
		{"SIGNPOST_QUEUE_BYTES=1", "from 1048576"},
		{"SIGNPOST_MAX_AGE=-1h", "give a time"},
		{"SIGNPOST_ALLOWED_NETWORKS=10.1.0.0", "no network"},
		{"SIGNPOST_ALLOWED_NETWORKS=10.1.0.0/16,10.2.0.0/16", "with spaces between them"},
		{"SIGNPOST_DENIED_NETWORKS=10.1.0.1/16", "no network"},
		{"SIGNPOST_LOG_LEVEL=INFO+4", "give debug"},
		{"SIGNPOST_LOG_FORMAT=xml", "give json or text"},
		{"SIGNPOST_TIMEOUT_FILE=/etc/timeout", "only secrets may be in files"},
		{"SIGNPOST_RELAY_PORT_8080_TCP=tcp://10.0.0.1:8080", "enableServiceLinks: false"},
		{"SIGNPOST_RELAY_SERVICE_HOST=10.0.0.1", "enableServiceLinks: false"},
		{"SIGNPOST_QUEUE_FILE=/etc/relay/queue", "give one of them"},
	} {
		t.Run(c.variable, func(t *testing.T) {
			_, err := readConfig(enough(c.variable))
			require.Error(t, err)
			name, _, _ := strings.Cut(c.variable, "=")
			assert.ErrorContains(t, err, strings.TrimSuffix(name, "_FILE"))
			assert.ErrorContains(t, err, c.says)
			assert.NotContains(t, err.Error(), "hunter2", "no secret is shown")
			assert.NotContains(t, err.Error(), "\n", "it is the only problem")
		})
	}
}

// A rate such as 1/h has a burst, too; and none has no use for one.
func TestConfigBurst(t *testing.T) {
	for text, want := range map[string]struct {
		limit rate.Limit
		burst int
	}{
		"1/h":     {rate.Limit(1.0 / 3600), 1},
		"2.5/s":   {2.5, 3},
		"60000/m": {1000, 1000},
		"none":    {rate.Inf, 1},
	} {
		c, err := readConfig(enough("SIGNPOST_RATE_LIMIT=" + text))
		require.NoError(t, err, text)
		assert.InDelta(t, float64(want.limit), float64(c.rate), math.SmallestNonzeroFloat64, text)
		assert.Equal(t, want.burst, c.rateBurst(), text)
	}
}

func TestConfigTakesSecretsFromFiles(t *testing.T) {
	folder := t.TempDir()
	queue, keys, empty := filepath.Join(folder, "queue"), filepath.Join(folder, "secret"), filepath.Join(folder, "empty")
	key := signpost.NewPrivateKey()
	require.NoError(t, os.WriteFile(queue, []byte("amqps://broker/\n"), 0o600))
	require.NoError(t, os.WriteFile(keys, []byte(secret.Reveal()+"\n"+key.Reveal()+"\n"), 0o600))
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))

	c, err := readConfig([]string{"SIGNPOST_QUEUE_FILE=" + queue, "SIGNPOST_SECRET_FILE=" + keys})
	require.NoError(t, err)
	assert.Equal(t, "amqps://broker/", c.source.url)
	assert.NotNil(t, c.signer)

	_, err = readConfig([]string{"SIGNPOST_QUEUE_FILE=" + empty, "SIGNPOST_SECRET_FILE=" + filepath.Join(folder, "none")})
	assert.ErrorContains(t, err, "the file is empty")
	assert.ErrorContains(t, err, "no such file")
}

func TestSource(t *testing.T) {
	for value, want := range map[string]source{
		"amqps://u:p@b/v?heartbeat=5": {scheme: "amqps", url: "amqps://u:p@b/v?heartbeat=5", name: "amqps://b/v"},
		"amqp://[::1]:5672":           {scheme: "amqp", url: "amqp://[::1]:5672", name: "amqp://[::1]:5672"},
		"sqlite:///var/lib/a%20b.db":  {scheme: "sqlite", path: "/var/lib/a b.db", name: "sqlite:///var/lib/a b.db"},
	} {
		var s source
		require.NoError(t, s.set(value), value)
		assert.Equal(t, want, s, value)
	}
}

func TestKafkaSource(t *testing.T) {
	for value, want := range map[string]struct {
		hosts   []string
		name    string
		options int
	}{
		"kafka://a:9092":                                       {[]string{"a:9092"}, "kafka://a:9092", 0},
		"kafka://a:9092,[::1]:9093/?tls=false":                 {[]string{"a:9092", "[::1]:9093"}, "kafka://a:9092,[::1]:9093", 0},
		"kafka://a:9092,b:9092?tls=true":                       {[]string{"a:9092", "b:9092"}, "kafka://a:9092,b:9092", 1},
		"kafka://u:p%40@a:9092?tls=true&sasl=scram-sha-512":    {[]string{"a:9092"}, "kafka://a:9092", 2},
		"kafka://u:hunter2@a:9092,b:9092/?sasl=plain":          {[]string{"a:9092", "b:9092"}, "kafka://a:9092,b:9092", 1},
		"kafka://u:hunter2@a:9092?sasl=scram-sha-256&tls=true": {[]string{"a:9092"}, "kafka://a:9092", 2},
	} {
		var s source
		require.NoError(t, s.set(value), value)
		assert.Equal(t, want.hosts, s.hosts, value)
		assert.Equal(t, want.name, s.name, value)
		assert.Len(t, s.client, want.options, value)
	}
}
