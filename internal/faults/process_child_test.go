package faults

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// childVariable names what this test binary does when it is started again as a child: a process of its own for what
// concerns the whole process.
const childVariable = "SIGNPOST_FAULTS_CHILD"

var children = map[string]func(t *testing.T){
	"sigterm":   sigtermChild,
	"manyHosts": manyHostsChild,
}

func TestChild(t *testing.T) {
	if run := children[os.Getenv(childVariable)]; run != nil {
		run(t)
	}
}

// child returns a command that runs one of children. It is killed when the test ends.
func child(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run", "^TestChild$")
	race := "GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE") // or the child's end takes a second
	cmd.Env = append(append(os.Environ(), childVariable+"="+name, race), env...)
	return cmd
}
