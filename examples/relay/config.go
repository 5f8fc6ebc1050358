package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost"
)

// A config is what the environment says.
type config struct {
	source          source
	prefix          string
	signer          signpost.Signer
	listen          string
	rate            rate.Limit
	burst           int // 0: what the rate has in a second
	hostConcurrency int
	workers         int
	queueSize       int
	queueBytes      int
	timeout         time.Duration
	maxAttempts     int
	maxAge          time.Duration
	drain           time.Duration
	allowed, denied []string
	logLevel        slog.Level
	logFormat       string
}

// variablePrefix is what the names of all variables begin with. One that begins so and isn't known is a typing mistake.
const variablePrefix = "SIGNPOST_"

// A variable is one setting in the environment. An empty one counts as not set.
type variable struct {
	name     string
	initial  string                   // its value if it isn't set
	required bool                     // it has no such value
	secret   bool                     // never shown; may be in a file that the variable name_FILE names
	meaning  string                   // for README.md
	set      func(value string) error // records the value; an error says what to give instead, and doesn't quote the value
}

func (c *config) variables() []variable {
	return []variable{
		{name: "SIGNPOST_QUEUE", required: true, secret: true, set: c.source.set,
			meaning: "Where messages come from: `amqp://user:password@host:5672/vhost`, `amqps://…`, " +
				"`kafka://host:9092,host2:9092`, `sqlite:///path/to/file`"},
		{name: "SIGNPOST_PREFIX", initial: "signpost", set: oneOf(&c.prefix),
			meaning: "What the names of the broker's queues or topics begin with"},
		{name: "SIGNPOST_SECRET", required: true, secret: true, set: c.setSigner,
			meaning: "What requests are signed with: `whsec_…` or `whsk_…`; " +
				"several, with spaces between them, while one replaces another"},
		{name: "SIGNPOST_LISTEN", initial: ":8080", set: address(&c.listen),
			meaning: "Where `/healthz`, `/readyz` and `/stats` are"},
		{name: "SIGNPOST_RATE_LIMIT", initial: "100/s", set: rateLimit(&c.rate),
			meaning: "Attempts at one host, by all relays together: `50/s`, `600/m`, `1000/h`, or `none` for no limit"},
		{name: "SIGNPOST_RATE_BURST", initial: "auto", set: burst(&c.burst),
			meaning: "… that may come at once; `auto`: as many as the limit has in a second"},
		{name: "SIGNPOST_HOST_CONCURRENCY", initial: "32", set: number(&c.hostConcurrency, 1, 10_000),
			meaning: "Attempts in flight at one host, by one relay"},
		{name: "SIGNPOST_WORKERS", initial: "256", set: number(&c.workers, 1, 100_000),
			meaning: "Attempts in flight in one relay"},
		{name: "SIGNPOST_QUEUE_SIZE", initial: "10000", set: number(&c.queueSize, 1, 1<<30),
			meaning: "Messages in one relay's hands; it fetches a fifth more from RabbitMQ"},
		{name: "SIGNPOST_QUEUE_BYTES", initial: "268435456", set: number(&c.queueBytes, 1<<20, math.MaxInt/8),
			meaning: "… and their payloads' bytes; less than half of the memory that the relay may use"},
		{name: "SIGNPOST_TIMEOUT", initial: "15s", set: duration(&c.timeout, time.Millisecond, time.Hour),
			meaning: "The longest attempt"},
		{name: "SIGNPOST_MAX_ATTEMPTS", initial: "8", set: number(&c.maxAttempts, 1, 1000),
			meaning: "Attempts before a message is dead"},
		{name: "SIGNPOST_MAX_AGE", initial: "24h", set: duration(&c.maxAge, time.Second, 365*24*time.Hour),
			meaning: "Age at which a message is dead"},
		{name: "SIGNPOST_DRAIN", initial: "25s", set: duration(&c.drain, 0, time.Hour),
			meaning: "The longest time that a relay that was told to stop goes on with what it has begun"},
		{name: "SIGNPOST_ALLOWED_NETWORKS", set: networks(&c.allowed),
			meaning: "Private networks that may be sent to, beside public ones: `10.1.0.0/16`, say; " +
				"several with spaces between them"},
		{name: "SIGNPOST_DENIED_NETWORKS", set: networks(&c.denied),
			meaning: "Networks that must not be sent to, though public or allowed"},
		{name: "SIGNPOST_LOG_LEVEL", initial: "info", set: level(&c.logLevel),
			meaning: "`debug`, `info`, `warn` or `error`; `info` has a line for every delivery"},
		{name: "SIGNPOST_LOG_FORMAT", initial: "json", set: oneOf(&c.logFormat, "json", "text"),
			meaning: "`json` or `text`"},
	}
}

// readConfig returns what the environment says, or every problem that it has.
func readConfig(environ []string) (*config, error) {
	c := &config{}
	values := map[string]string{}
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, variablePrefix) {
			values[name] = value
		}
	}
	var problems []error
	for _, v := range c.variables() {
		if err := v.read(values); err != nil {
			problems = append(problems, err)
		}
		delete(values, v.name)
		if v.secret {
			delete(values, v.name+"_FILE")
		}
	}
	for name := range values {
		problems = append(problems, c.unknown(name))
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return c, errors.Join(problems...)
}

// read records the variable's value, if it is good.
func (v *variable) read(values map[string]string) error {
	value, file := values[v.name], ""
	if v.secret {
		file = values[v.name+"_FILE"]
	}
	switch {
	case value != "" && file != "":
		return fmt.Errorf("%s and %s_FILE: give one of them", v.name, v.name)
	case file != "":
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", v.name, err)
		}
		if value = strings.TrimSpace(string(text)); value == "" {
			return fmt.Errorf("%s_FILE=%q: the file is empty", v.name, file)
		}
	case value == "" && v.required:
		return fmt.Errorf("%s is not set; give it, or %s_FILE with the name of a file that has it: %s",
			v.name, v.name, unmarked(v.meaning))
	case value == "":
		if value = v.initial; value == "" {
			return nil
		}
	}
	switch err := v.set(value); {
	case err == nil:
		return nil
	case v.secret:
		return fmt.Errorf("%s: %w", v.name, err)
	default:
		return fmt.Errorf("%s=%q: %w", v.name, value, err)
	}
}

// unmarked is a meaning without README.md's marks.
func unmarked(meaning string) string { return strings.ReplaceAll(meaning, "`", "") }

// unknown says what to do about a variable that isn't one. Kubernetes tells every container of the services around it, in
// variables that begin with their names.
func (c *config) unknown(name string) error {
	for _, v := range c.variables() {
		if !v.secret && name == v.name+"_FILE" {
			return fmt.Errorf("%s is not known: only secrets may be in files; give %s", name, v.name)
		}
	}
	for _, mark := range []string{"_SERVICE_HOST", "_SERVICE_PORT", "_PORT"} {
		if strings.Contains(name, mark) {
			return fmt.Errorf("%s is not known; if Kubernetes has set it for a service, say enableServiceLinks: false", name)
		}
	}
	return fmt.Errorf("%s is not known; README.md has all variables", name)
}

// rateBurst is the burst that goes with the rate.
func (c *config) rateBurst() int {
	if c.burst == 0 && c.rate != rate.Inf {
		return max(1, int(math.Ceil(float64(c.rate))))
	}
	return max(1, c.burst)
}

// setSigner takes the keys apart. The library's errors say which one is wrong, and don't quote it.
func (c *config) setSigner(value string) error {
	var keys []signpost.Key
	for i, text := range strings.Fields(value) {
		var key signpost.Key
		var err error
		if strings.HasPrefix(text, "whsk_") {
			key, err = signpost.ParsePrivateKey(text)
		} else {
			key, err = signpost.ParseSecret(text)
		}
		if err != nil {
			return fmt.Errorf("key %d: %w", i+1, err)
		}
		keys = append(keys, key)
	}
	signer, err := signpost.NewSigner(keys...)
	c.signer = signer
	return err
}
