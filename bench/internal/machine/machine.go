// Package machine says what a run is made on.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/result"
)

// compared are the modules whose versions a report names.
var compared = []string{
	"github.com/panjf2000/ants/v2", "github.com/hashicorp/go-retryablehttp", "github.com/hibiken/asynq", "modernc.org/sqlite",
	"github.com/rabbitmq/amqp091-go", "github.com/twmb/franz-go",
}

// Describe describes this machine, and what is compared on it. Without a Redis server, that is left out.
func Describe(ctx context.Context) (result.Machine, error) {
	m := result.Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var err error
	if m.Processor, err = field("/proc/cpuinfo", "model name"); err != nil {
		m.Processor = runtime.GOARCH // some architectures have no model name
	}
	memory, err := field("/proc/meminfo", "MemTotal")
	if err != nil {
		return m, err
	}
	kilobytes, err := strconv.ParseInt(strings.TrimSuffix(memory, " kB"), 10, 64)
	if err != nil {
		return m, fmt.Errorf("/proc/meminfo: MemTotal: %w", err)
	}
	m.Memory = kilobytes << 10
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	m.Versions = modules()
	switch version, err := redis.Version(ctx); {
	case err == nil:
		m.Versions = append(m.Versions, result.Version{Name: "Redis", Version: version})
	case !errors.Is(err, redis.ErrMissing):
		return m, err
	}
	return m, nil
}

// modules returns the versions of the compared modules in this program.
func modules() []result.Version {
	var versions []result.Version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, path := range compared {
		for _, module := range info.Deps {
			if module.Path == path {
				versions = append(versions, result.Version{Name: strings.TrimPrefix(path, "github.com/"), Version: module.Version})
			}
		}
	}
	return versions
}

// field returns the value of the first line "name : value" of a file.
func field(file, name string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s: there is no %q", file, name)
}
