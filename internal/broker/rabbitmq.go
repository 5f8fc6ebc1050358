package broker

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// deadLetterAgain is after how long the server publishes a dead letter again that it didn't get into its target: 3 minutes if
// nothing else is said. That is how long messages stay away that are due while the server starts, and their target isn't up
// yet.
const deadLetterAgain = 10 * time.Second

// StartRabbitMQ starts a RabbitMQ server with its data in dir, which must be there, and returns once it accepts
// connections. config are lines of its rabbitmq.conf beyond those that it needs. It has a node name, a cookie, ports and an
// epmd of its own, so that it has nothing to do with other servers on the machine. It tries again after 10 s to move on a
// message that has waited, as package rabbitmq asks for.
func StartRabbitMQ(dir string, config map[string]string) (*Server, error) {
	bin, epmd, err := findRabbitMQ()
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	amqp, names, nodes := ports[0], ports[1], ports[2]
	files := map[string]string{
		".erlang.cookie":  rand.Text(),
		"enabled_plugins": "[].\n",
		"rabbitmq.conf": fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d\nlog.console = true\nlog.file = false\n", amqp) +
			settings("%s = %s\n", config),
		"advanced.config": fmt.Sprintf(
			"[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, %d}]}].\n", deadLetterAgain.Milliseconds()),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o400); err != nil {
			return nil, fmt.Errorf("broker: %w", err)
		}
	}
	// https://www.rabbitmq.com/docs/configure, "Environment Variables"
	env := environment(
		"HOME="+dir, // where the cookie is
		"RABBITMQ_CONF_ENV_FILE="+filepath.Join(dir, "rabbitmq-env.conf"), // there is none
		"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(dir, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "enabled_plugins"),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "data"),
		"RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
		fmt.Sprintf("RABBITMQ_NODENAME=signpost-%d@localhost", amqp),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", nodes),
		fmt.Sprintf("ERL_EPMD_PORT=%d", names),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RUNNING_UNDER_SYSTEMD=true", // the script replaces itself by the server
	)
	s := &Server{
		dir:     dir,
		address: fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", amqp),
		programs: []program{ // the server would leave an epmd of its own behind
			{args: []string{epmd}, env: env, answers: listening(names, nil)},
			{args: []string{filepath.Join(bin, "rabbitmq-server")}, env: env, answers: listening(amqp, greetAMQP)},
		},
		control: func(args ...string) (string, error) {
			cmd := exec.Command(filepath.Join(bin, "rabbitmqctl"), args...)
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			if err != nil {
				return string(out), fmt.Errorf("broker: rabbitmqctl %q: %w: %s", args, err, out)
			}
			return string(out), nil
		},
	}
	return s, s.Start()
}

// Ctl runs rabbitmqctl, and returns what it prints.
func (s *Server) Ctl(args ...string) (string, error) {
	if s.control == nil {
		return "", errors.New("broker: it is not a RabbitMQ server")
	}
	return s.control(args...)
}

// findRabbitMQ returns the folder of RabbitMQ's own scripts, and epmd. Those in the PATH may be Debian's, which want to be
// run by root or the user rabbitmq.
func findRabbitMQ() (bin, epmd string, err error) {
	if runtime.GOOS != "linux" {
		return "", "", fmt.Errorf("%w: RabbitMQ is run on Linux only", ErrMissing)
	}
	epmd, err = exec.LookPath("epmd")
	if err != nil {
		return "", "", fmt.Errorf("%w: epmd (Erlang): apt-get install rabbitmq-server", ErrMissing)
	}
	bin = "/usr/lib/rabbitmq/bin"
	if _, err := os.Stat(filepath.Join(bin, "rabbitmq-server")); err == nil {
		return bin, epmd, nil
	}
	server, err := exec.LookPath("rabbitmq-server")
	if err != nil {
		return "", "", fmt.Errorf("%w: RabbitMQ: apt-get install rabbitmq-server", ErrMissing)
	}
	return filepath.Dir(server), epmd, nil
}

// greetAMQP sends the header of the protocol (AMQP 0-9-1, section 4.2.2) and expects a frame with a method.
func greetAMQP(conn net.Conn) error {
	if _, err := io.WriteString(conn, "AMQP\x00\x00\x09\x01"); err != nil {
		return err
	}
	var start [7 + 4]byte // the head of a frame; class and method
	if _, err := io.ReadFull(conn, start[:]); err != nil {
		return err
	}
	if !bytes.Equal(start[7:], []byte{0, 10, 0, 10}) || start[0] != 1 {
		return fmt.Errorf("it answers with % x instead of connection.start", start)
	}
	return nil
}
