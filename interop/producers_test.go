package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/internal/broker"
	"github.com/signpost-go/signpost/queue/kafka"
	"github.com/signpost-go/signpost/queue/rabbitmq"
	"github.com/signpost-go/signpost/signposttest"
)

// A producer is a program in another language that hands a webhook to a broker.
type producer struct {
	broker, file, library string
	language              language
}

var (
	pythonProducers = language{name: producersFolder, tools: []string{"python3"}, pinned: []string{"requirements.txt"}, install: installPython}
	nodeProducers   = language{name: producersFolder, tools: []string{"node", "npm"}, pinned: []string{"package.json", "package-lock.json"}, install: installNode}
)

const producersFolder = "../examples/producers"

var producers = []producer{
	{"rabbitmq", "produce_rabbitmq.py", "pika", pythonProducers},
	{"rabbitmq", "produce_rabbitmq.mjs", "amqplib", nodeProducers},
	{"kafka", "produce_kafka.py", "confluent-kafka", pythonProducers},
	{"kafka", "produce_kafka.mjs", "kafkajs", nodeProducers},
}

// What a producer in another language hands to a real broker is delivered, signed, as it was.
func TestProducers(t *testing.T) {
	for name, b := range map[string]struct {
		given string // the variable that names a server that is there already
		start func(dir string, config map[string]string) (*broker.Server, error)
		open  func(ctx context.Context, address, prefix string) (signpost.Queue, error)
	}{
		"rabbitmq": {"SIGNPOST_TEST_AMQP_URL", broker.StartRabbitMQ, func(ctx context.Context, address, prefix string) (signpost.Queue, error) {
			return rabbitmq.Open(ctx, address, rabbitmq.WithPrefix(prefix))
		}},
		"kafka": {"SIGNPOST_TEST_KAFKA_BROKERS", broker.StartKafka, func(ctx context.Context, address, prefix string) (signpost.Queue, error) {
			return kafka.Open(ctx, strings.Split(address, ","), kafka.WithPrefix(prefix))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := os.Getenv(b.given)
			if address == "" {
				server, err := b.start(t.TempDir(), nil)
				if errors.Is(err, broker.ErrMissing) {
					skip(t, "%v", err)
				}
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, server.Stop()) })
				address = server.Address()
			}
			prefix := fmt.Sprintf("producers-%d", time.Now().UnixNano())
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			queue, err := b.open(ctx, address, prefix)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, queue.Close()) })
			receiver := signposttest.NewReceiver(t)
			d, err := signpost.New(append(receiver.Options(), signpost.WithQueue(queue))...)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, d.Close()) })

			n := 0
			for _, p := range producers {
				if p.broker != name {
					continue
				}
				n++
				payload := fmt.Sprintf(`{"from": %q,  "π": 3.14e0}`, p.library)
				out, err := p.command(t, prefix, address, receiver.URL, payload).CombinedOutput()
				require.NoError(t, err, "%s: %s", p.file, out)
				r := receiver.Wait(n)[n-1]
				assert.Equal(t, payload, string(r.Body), p.file)
				assert.Equal(t, []string{p.library}, r.Header["X-Producer"], p.file)
				assert.Regexp(t, `^msg_[0-9a-f-]{32,}$`, r.Header.Get("webhook-id"), p.file)

				out, err = p.command(t, prefix+"-nobody", address, receiver.URL, payload).CombinedOutput()
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit, "%s: nobody has made the queue, and it says nothing: %s", p.file, out)
			}
		})
	}
}

// command returns the command that runs the producer, and installs first what it lacks.
func (p producer) command(t *testing.T, prefix string, args ...string) *exec.Cmd {
	t.Helper()
	for _, tool := range p.language.tools {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "%s is missing: %v", tool, err)
		}
	}
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS(producersFolder)))
	cache, err := installed(t.Context(), p.language, folder)
	if err != nil {
		skip(t, "what the producer needs can't be installed: %v", err)
	}
	program := "python3"
	if filepath.Ext(p.file) == ".mjs" {
		program = "node"
		require.NoError(t, os.Symlink(filepath.Join(cache, "node_modules"), filepath.Join(folder, "node_modules")))
	}
	return command(t.Context(), folder, []string{"PYTHONPATH=" + cache, "SIGNPOST_PREFIX=" + prefix}, program, append([]string{p.file}, args...)...)
}

const wireDocument = "../docs/wire.md"

// docs/wire.md shows the very files that run here.
func TestWireDocument(t *testing.T) {
	marks := map[string]string{}
	for _, p := range producers {
		code, err := os.ReadFile(filepath.Join(producersFolder, p.file))
		require.NoError(t, err)
		language := map[string]string{".py": "python", ".mjs": "js"}[filepath.Ext(p.file)]
		marks[p.broker] += fmt.Sprintf("With %s ([%s](../examples/producers/%s)):\n\n```%s\n%s```\n\n", p.library, p.file, p.file, language, code)
	}
	for broker, text := range marks {
		marks[broker] = strings.TrimSuffix(text, "\n")
	}
	checkDocument(t, wireDocument, marks)
}
