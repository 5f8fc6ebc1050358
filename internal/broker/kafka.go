package broker

import (
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// kafkaPOM says which version of Kafka is run.
//
//go:embed kafka/pom.xml
var kafkaPOM []byte

// StartKafka starts a Kafka server, broker and controller in one (KRaft), with its data in dir, which must be there, and
// returns once it answers. properties are of its server.properties, beyond those that it needs or instead of them. The
// server itself comes from Maven, the first time, and is kept in the user's cache folder.
func StartKafka(dir string, properties map[string]string) (*Server, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("%w: Java: apt-get install openjdk-17-jre-headless", ErrMissing)
	}
	jars, err := kafkaJars()
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "server.properties")
	all := settings("%s=%s\n", kafkaProperties(dir, ports[0], ports[1], properties))
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	run := []string{java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.apache.logging.log4j.level=WARN", "-cp", filepath.Join(jars, "*")}
	if err := formatKafka(run, file); err != nil {
		return nil, err
	}
	s := &Server{
		dir:     dir,
		address: fmt.Sprintf("127.0.0.1:%d", ports[0]),
		programs: []program{{
			args: append(run, "kafka.Kafka", file), env: environment(), answers: listening(ports[0], greetKafka),
		}},
	}
	return s, s.Start()
}

// kafkaProperties are what one node needs that is everything to itself, with few partitions for what it keeps.
// https://kafka.apache.org/documentation/#configuration
func kafkaProperties(dir string, client, controller int, more map[string]string) map[string]string {
	listeners := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", client, controller)
	all := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.voters":                         fmt.Sprintf("1@127.0.0.1:%d", controller),
		"listeners":                                        listeners,
		"advertised.listeners":                             fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", client),
		"controller.listener.names":                        "CONTROLLER",
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs":                                         filepath.Join(dir, "data"),
		"num.partitions":                                   "1",
		"auto.create.topics.enable":                        "false",
		"offsets.topic.num.partitions":                     "3",
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.num.partitions":             "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.num.partitions":     "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"broker.heartbeat.interval.ms":                     "300",
		"broker.session.timeout.ms":                        "3000", // for so long a killed one can't come back
		"group.initial.rebalance.delay.ms":                 "0",
	}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// formatKafka writes what a new node's data folder begins with.
func formatKafka(run []string, file string) error {
	var id [16]byte
	rand.Read(id[:]) // never fails
	args := append(run[1:len(run):len(run)], "kafka.tools.StorageTool", "format", "--ignore-formatted",
		"--cluster-id="+base64.RawURLEncoding.EncodeToString(id[:]), "--config", file)
	cmd := exec.Command(run[0], args...)
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("broker: format Kafka's storage: %w; it said:\n%s", err, tail(string(out)))
	}
	return nil
}

// kafkaJars returns the folder of the jars that Kafka consists of. It has Maven fetch them if they aren't there. The folder
// has its final name once it is complete, so that several processes may do this at a time.
func kafkaJars() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("broker: find a folder for Kafka's jars: %w", err)
	}
	sum := sha256.Sum256(kafkaPOM)
	jars := filepath.Join(cache, "signpost-kafka-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("%w: neither are Kafka's jars in %s, nor is Maven here to fetch them: apt-get install maven", ErrMissing, jars)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	temp, err := os.MkdirTemp(cache, "signpost-kafka-new-")
	if err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	defer os.RemoveAll(temp)
	pom, lib := filepath.Join(temp, "pom.xml"), filepath.Join(temp, "lib")
	if err := os.WriteFile(pom, kafkaPOM, 0o600); err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	cmd := exec.Command(maven, "-q", "-B", "-f", pom,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+lib)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("broker: fetch Kafka with Maven: %w; it said:\n%s", err, tail(string(out)))
	}
	err = os.Rename(lib, jars)
	if _, there := os.Stat(jars); err != nil && there != nil { // nobody else was faster
		return "", fmt.Errorf("broker: %w", err)
	}
	return jars, nil
}

// greetKafka asks which versions of the protocol are spoken, and expects an answer without an error.
// https://kafka.apache.org/protocol#The_Messages_ApiVersions
func greetKafka(conn net.Conn) error {
	const correlation = 7
	request := []byte{0, 18, 0, 0, 0, 0, 0, correlation, 0xff, 0xff} // ApiVersions, version 0; no client ID
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return err
	}
	var head [4 + 4 + 2]byte // size, correlation, error
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(head[4:]) != correlation || binary.BigEndian.Uint16(head[8:]) != 0 {
		return fmt.Errorf("it answers with % x instead of its versions", head)
	}
	return nil
}
