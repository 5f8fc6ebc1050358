package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A receiver is a child process that verifies what it gets, on a path for each scheme.
type receiver struct {
	Port     int               // where it listens on 127.0.0.1
	Language string            // the language's implementation and its version
	Versions map[string]string // of the libraries, as they say themselves
}

func (r *receiver) url(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/%s", r.Port, path)
}

// A language says how its receiver is installed and started. The functions run in folder, which holds a copy of the
// receiver's files, and keep what they install in cache, which is filled once for every version of the pinned files.
type language struct {
	name    string   // the folder of its receiver, too
	tools   []string // that must be there
	pinned  []string // files that decide what is installed
	install func(ctx context.Context, folder, cache string) error
	start   func(ctx context.Context, folder, cache string) (*exec.Cmd, error)
}

var languages = []language{
	{
		name: "javascript", tools: []string{"node", "npm"}, pinned: []string{"package.json", "package-lock.json"},
		install: installNode,
		start: func(ctx context.Context, folder, cache string) (*exec.Cmd, error) {
			err := os.Symlink(filepath.Join(cache, "node_modules"), filepath.Join(folder, "node_modules"))
			return command(ctx, folder, nil, "node", "receiver.js"), err
		},
	},
	{
		name: "python", tools: []string{"python3"}, pinned: []string{"requirements.txt"},
		install: installPython,
		start: func(ctx context.Context, folder, cache string) (*exec.Cmd, error) {
			return command(ctx, folder, []string{"PYTHONPATH=" + cache}, "python3", "receiver.py"), nil
		},
	},
	{
		name: "go", tools: []string{"go"}, pinned: []string{"go.mod", "go.sum"},
		install: func(ctx context.Context, folder, _ string) error {
			return run(ctx, folder, []string{"GOWORK=off"}, "go", "mod", "download")
		},
		start: func(ctx context.Context, folder, cache string) (*exec.Cmd, error) {
			// Not the copy is built: it has a new name each time, and so would not be found in Go's cache.
			err := run(ctx, "go", []string{"GOWORK=off"}, "go", "build", "-o", folder, ".")
			return command(ctx, folder, nil, "./receiver"), err
		},
	},
	{
		// Cargo makes the lock file, which would pin its source too; Cargo.toml pins what the receiver itself uses.
		name: "rust", tools: []string{"cargo"}, pinned: []string{"Cargo.toml"},
		install: func(ctx context.Context, folder, _ string) error {
			return run(ctx, folder, nil, "cargo", "fetch", "--quiet")
		},
		start: func(ctx context.Context, folder, cache string) (*exec.Cmd, error) {
			// Nor here, for the same reason.
			err := run(ctx, "rust", nil, "cargo", "build", "--quiet", "--target-dir", cache)
			return command(ctx, folder, nil, filepath.Join(cache, "debug", "receiver")), err
		},
	},
	{
		name: "java", tools: []string{"javac", "java", "mvn"}, pinned: []string{"pom.xml"},
		install: func(ctx context.Context, folder, cache string) error {
			return run(ctx, folder, nil, "mvn", "--batch-mode", "--quiet", "dependency:copy-dependencies", "-DoutputDirectory="+cache)
		},
		start: func(ctx context.Context, folder, cache string) (*exec.Cmd, error) {
			classes := filepath.Join(cache, "*") + string(os.PathListSeparator) + folder
			err := run(ctx, folder, nil, "javac", "-cp", classes, "-d", folder, "Receiver.java", "StandardWebhooks.java")
			return command(ctx, folder, nil, "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", classes, "Receiver"), err
		},
	},
}

func installNode(ctx context.Context, folder, cache string) error {
	if err := os.CopyFS(cache, os.DirFS(folder)); err != nil {
		return err
	}
	return run(ctx, cache, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
}

func installPython(ctx context.Context, folder, cache string) error {
	return run(ctx, folder, nil, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
		"--root-user-action=ignore", "--no-deps", "--target", cache, "--requirement", "requirements.txt")
}

// startReceiver starts the language's receiver for the life of the test, and installs first what it lacks. Where that
// can't be done the test is skipped; with CI=true it fails.
func startReceiver(t *testing.T, l language) *receiver {
	t.Helper()
	for _, tool := range l.tools {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "%s is missing: %v", tool, err)
		}
	}
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS(l.name)))
	cache, err := installed(t.Context(), l, folder)
	if err != nil {
		skip(t, "what the receiver needs can't be installed: %v", err)
	}
	cmd, err := l.start(context.WithoutCancel(t.Context()), folder, cache) // it ends with its stdin
	require.NoError(t, err)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr output
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		hung := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer hung.Stop()
		io.Copy(io.Discard, stdout)
		cmd.Wait()
		if t.Failed() {
			t.Logf("the %s receiver says: %s", l.name, stderr.String())
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(t, err, "the %s receiver didn't start: %s", l.name, &stderr)
	r := new(receiver)
	require.NoError(t, json.Unmarshal(line, r), "%s", line)
	return r
}

// installed returns the cache folder for what l's receiver needs, and fills it if there is none. It is filled under
// another name and then renamed: whoever looks at the same time sees all or nothing.
func installed(ctx context.Context, l language, folder string) (string, error) {
	root, err := os.UserCacheDir()
	if err != nil {
		root = os.TempDir()
	}
	root = filepath.Join(root, "signpost-interop")
	hash := sha256.New()
	version, _ := exec.CommandContext(ctx, l.tools[0], "--version").CombinedOutput()
	hash.Write(version)
	for _, name := range l.pinned {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return "", err
		}
		hash.Write(text)
	}
	cache := filepath.Join(root, filepath.Base(l.name)+"-"+hex.EncodeToString(hash.Sum(nil)[:8]))
	if _, err := os.Stat(cache); err == nil {
		return cache, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	partial, err := os.MkdirTemp(root, filepath.Base(l.name)+"-partial-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := l.install(ctx, folder, partial); err != nil {
		return "", err
	}
	if err := os.Rename(partial, cache); err != nil && !errors.Is(err, os.ErrExist) {
		if _, other := os.Stat(cache); other != nil { // or else somebody was faster
			return "", err
		}
	}
	return cache, nil
}

func command(ctx context.Context, folder string, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	cmd.Env = append(cmd.Env, "PYTHONDONTWRITEBYTECODE=1",
		"WEBHOOK_SECRET="+current.secret.Reveal(), "WEBHOOK_PUBLIC_KEY="+current.private.Public().String(),
		"OLD_WEBHOOK_SECRET="+old.secret.Reveal(), "OLD_WEBHOOK_PUBLIC_KEY="+old.private.Public().String())
	return cmd
}

func run(ctx context.Context, folder string, env []string, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	out, err := command(ctx, folder, env, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("with CI=true nothing may be skipped: "+format, args...)
	}
	t.Skipf(format, args...)
}

// output is what a child process has written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
