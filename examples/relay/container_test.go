package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// instruction returns what follows the only instruction of that name in a stage of Dockerfile, 0 being the first.
func instruction(t *testing.T, stage int, name string) string {
	t.Helper()
	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	at := -1
	var found []string
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "FROM" {
			at++
		}
		if at == stage && word == name {
			found = append(found, rest)
		}
	}
	return only(t, found)
}

// The image has no C library, so the command that builds the relay for it must make a binary that needs none.
func TestImageHasAStaticBinary(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("an image's binary is Linux's; run the test there")
	}
	binary := filepath.Join(t.TempDir(), "relay")
	command := instruction(t, 0, "RUN")
	require.Contains(t, command, " -o /relay ")
	cmd := exec.Command("sh", "-c", strings.Replace(command, "-o /relay ", "-o "+binary+" ", 1))
	cmd.Env = append(os.Environ(), "VERSION=1.2.3-image")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	f, err := elf.Open(binary)
	require.NoError(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		assert.NotEqual(t, elf.PT_INTERP, p.Type, "it needs no dynamic linker")
	}
	libraries, err := f.ImportedLibraries()
	require.NoError(t, err)
	assert.Empty(t, libraries)

	cmd = exec.Command(binary)
	cmd.Env = []string{}
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "SIGNPOST_QUEUE is not set", "it runs without a shell or an environment")
	text, err := os.ReadFile(binary)
	require.NoError(t, err)
	assert.Contains(t, string(text), "1.2.3-image", "the version is in it")
}

func TestImageIsSmall(t *testing.T) {
	assert.Equal(t, "scratch", instruction(t, 1, "FROM"))
	assert.Equal(t, "65532:65532", instruction(t, 1, "USER"), "not root")
	assert.Equal(t, `["/relay"]`, instruction(t, 1, "ENTRYPOINT"), "no shell stands between the relay and its signals")
	assert.Equal(t, "8080", instruction(t, 1, "EXPOSE"))
}

// compose loads compose.yaml, in which each of the replacements, an old and a new text, was made.
func compose(t *testing.T, replace ...string) (*types.Project, error) {
	t.Helper()
	text, err := os.ReadFile("compose.yaml")
	require.NoError(t, err)
	folder, err := os.Getwd()
	require.NoError(t, err)
	content := strings.NewReplacer(replace...).Replace(string(text))
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(content)}},
		Environment: types.Mapping{"SIGNPOST_SECRET": secret.Reveal()},
	})
}

func TestComposeFileFitsTheProgram(t *testing.T) {
	project, err := compose(t)
	require.NoError(t, err)
	relay, broker := project.Services["relay"], project.Services["rabbitmq"]

	var environ []string
	for name, value := range relay.Environment {
		require.NotNil(t, value, name)
		environ = append(environ, name+"="+*value)
	}
	c, err := readConfig(environ)
	require.NoError(t, err, "the relay knows every variable and likes its value")
	assert.Equal(t, "amqp://rabbitmq:5672/", c.source.name, "the broker is the other service")

	assert.Equal(t, types.ServiceConditionHealthy, relay.DependsOn["rabbitmq"].Condition, "the relay waits for the broker")
	require.NotNil(t, broker.HealthCheck)
	assert.Equal(t, "CMD", broker.HealthCheck.Test[0])
	require.NotNil(t, relay.StopGracePeriod)
	assert.GreaterOrEqual(t, time.Duration(*relay.StopGracePeriod), c.drain+10*time.Second)
	assert.EqualValues(t, 8080, relay.Ports[0].Target)
	assert.True(t, strings.HasSuffix(c.listen, ":8080"))

	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	assert.Equal(t, root, relay.Build.Context)
	assert.FileExists(t, filepath.Join(relay.Build.Context, relay.Build.Dockerfile))
	assert.Empty(t, relay.User, "the image's, which isn't root")
	assert.True(t, relay.ReadOnly)
	assert.Equal(t, []string{"ALL"}, relay.CapDrop)
}

func TestComposeFileIsDecodedStrictly(t *testing.T) {
	_, err := compose(t, "stop_grace_period:", "stop_grace:")
	assert.ErrorContains(t, err, "stop_grace")
	_, err = compose(t, "condition: service_healthy", "condition: healthy")
	assert.ErrorContains(t, err, "healthy")
	_, err = compose(t, "read_only: true", "read_only: true\n    read_only: true")
	assert.ErrorContains(t, err, "already defined")
}

// Without a secret Compose says what is missing before it starts anything.
func TestComposeFileAsksForTheSecret(t *testing.T) {
	_, err := compose(t, "${SIGNPOST_SECRET:?", "${SIGNPOST_NO_SECRET:?")
	assert.ErrorContains(t, err, "give the secret that requests are signed with")
}
