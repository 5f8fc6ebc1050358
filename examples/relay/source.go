package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// A source is where messages come from: SIGNPOST_QUEUE, taken apart.
type source struct {
	scheme string    // amqp, amqps, kafka or sqlite
	name   string    // for people: without user, password and options
	url    string    // amqp, amqps: all of it
	hosts  []string  // kafka
	client []kgo.Opt // kafka: TLS and SASL
	path   string    // sqlite
}

// set takes value apart. What it returns never quotes a password.
func (s *source) set(value string) error {
	scheme, rest, _ := strings.Cut(value, "://")
	switch scheme {
	case "amqp", "amqps":
		u, err := url.Parse(value)
		if err != nil || u.Hostname() == "" {
			return errors.New("not a URL; give amqp://user:password@host:5672/vhost, with %XX for special characters in the password")
		}
		*s = source{scheme: scheme, url: value, name: scheme + "://" + u.Host + u.EscapedPath()}
	case "kafka":
		return s.setKafka(rest)
	case "sqlite":
		u, err := url.Parse(value)
		if err != nil || u.Host != "" || strings.Trim(u.Path, "/") == "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("not a file; give its whole path after three slashes in all, as in sqlite:///var/lib/shop/webhooks.db")
		}
		*s = source{scheme: scheme, path: u.Path, name: "sqlite://" + u.Path}
	default:
		return errors.New("it must begin with amqp://, amqps://, kafka:// or sqlite:///")
	}
	return nil
}

// setKafka takes apart what follows kafka://, which is no URL if there are several hosts.
func (s *source) setKafka(rest string) error {
	rest, query, _ := strings.Cut(rest, "?")
	rest = strings.TrimSuffix(rest, "/")
	at := strings.LastIndex(rest, "@")
	hosts := rest[at+1:]
	*s = source{scheme: "kafka", name: "kafka://" + hosts, hosts: strings.Split(hosts, ",")}
	for _, host := range s.hosts {
		if name, port, err := net.SplitHostPort(host); err != nil || name == "" || port == "" {
			return fmt.Errorf("%q is no broker; give host:port, several with commas between them", host)
		}
	}
	var user *url.Userinfo
	if at >= 0 {
		u, err := url.Parse("kafka://" + rest[:at] + "@host")
		if err != nil {
			return errors.New("user and password aren't as in a URL; give user:password@, with %XX for special characters")
		}
		user = u.User
	}
	options, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("what follows the question mark isn't as in a URL; give tls=true, sasl=plain, or both with & between them")
	}
	return s.secure(options, user)
}

// secure makes of a kafka URL's options what the client needs. Certificates are checked with the system's, or those that
// SSL_CERT_FILE names.
func (s *source) secure(options url.Values, user *url.Userinfo) error {
	encrypted, mechanism := options.Get("tls"), options.Get("sasl")
	options.Del("tls")
	options.Del("sasl")
	for name := range options {
		return fmt.Errorf("option %q is not known; there are tls=true and sasl=plain, scram-sha-256 or scram-sha-512", name)
	}
	switch encrypted {
	case "true":
		s.client = append(s.client, kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12}))
	case "", "false":
	default:
		return errors.New("option tls: give true or false")
	}
	if (mechanism == "") != (user == nil) {
		return errors.New("user and password go with an option sasl, plain, scram-sha-256 or scram-sha-512, and the other way round")
	}
	password, _ := user.Password()
	switch mechanism {
	case "":
	case "plain":
		s.client = append(s.client, kgo.SASL(plain.Auth{User: user.Username(), Pass: password}.AsMechanism()))
	case "scram-sha-256":
		s.client = append(s.client, kgo.SASL(scram.Auth{User: user.Username(), Pass: password}.AsSha256Mechanism()))
	case "scram-sha-512":
		s.client = append(s.client, kgo.SASL(scram.Auth{User: user.Username(), Pass: password}.AsSha512Mechanism()))
	default:
		return errors.New("option sasl: give plain, scram-sha-256 or scram-sha-512")
	}
	return nil
}
