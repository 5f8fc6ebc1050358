package signpost

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/signpost-go/signpost/internal/egress"
	"github.com/signpost-go/signpost/internal/schedule"
)

// version is what User-Agent says.
const version = "0.1.0"

// The defaults.
const (
	defaultRate            = rate.Limit(100)
	defaultBurst           = 100
	defaultHostConcurrency = 32
	defaultWorkers         = 256
	defaultQueueSize       = 10_000
	defaultQueueBytes      = 256 << 20
	defaultMaxPayload      = 1 << 20
	defaultTimeout         = 15 * time.Second
)

// An Option changes one default of a [Dispatcher] or a [Sender]. An option only records its value: [New] and
// [NewSender] check all of them and report every problem at once. Of an option given twice the last one counts,
// except where its doc says that it may be given several times.
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

// dispatcherOption is an option that means nothing to a Sender.
func dispatcherOption(name string, apply func(*config)) Option {
	return option(func(c *config) {
		c.dispatcherOnly = append(c.dispatcherOnly, name)
		apply(c)
	})
}

// config is what options record, and what remains of them once validate has passed it.
type config struct {
	signer       Signer // nil: without signing
	signing      []string
	secrets      []string
	secretsGiven bool
	endpoints    func(ctx context.Context, url string) (Endpoint, error)

	timeout         time.Duration
	maxPayload      int
	hostConcurrency int
	header          http.Header
	userAgent       string
	tls             *tls.Config
	tlsGiven        bool
	wrapTransport   func(http.RoundTripper) http.RoundTripper
	proxy           *url.URL
	proxyGiven      bool
	allowed, denied []string
	guard           *egress.Guard

	policy       RetryPolicy
	limit        rate.Limit
	burst        int
	workers      int
	queueSize    int
	queueBytes   int64
	backpressure bool
	queue        Queue
	queueGiven   bool
	observers    []func(context.Context, *Message, Outcome)
	logger       *slog.Logger

	dispatcherOnly []string // names of the options given that a Sender has no use for
	problems       []error
}

func (c *config) problem(err error) { c.problems = append(c.problems, err) }

// WithSecret signs by Standard Webhooks with the given secrets ("whsec_…"), a signature each, as [NewSigner]
// does. It may be given several times: during a rotation, say. A secret for each customer is
// [WithEndpoints]'s business.
func WithSecret(whsec ...string) Option {
	return option(func(c *config) {
		c.secretsGiven = true
		c.secrets = append(c.secrets, whsec...)
	})
}

// WithSigner signs with s where the endpoint brings no signer of its own.
func WithSigner(s Signer) Option {
	return option(func(c *config) {
		c.signing = append(c.signing, "WithSigner")
		c.signer = s
		if err := checkSigner(s); err != nil {
			c.problem(err)
		}
	})
}

// WithoutSigning sends without a signature where the endpoint brings no signer of its own: receivers can't tell who
// sends. One of WithSecret, WithSigner and WithoutSigning must be given.
func WithoutSigning() Option {
	return option(func(c *config) { c.signing = append(c.signing, "WithoutSigning") })
}

// WithEndpoints asks f how to reach a URL, before every attempt: so a rotated secret or a disabled endpoint
// counts at once. f is called from many goroutines at once; its time counts toward the attempt's, whose end
// ctx knows. An error fails the attempt and is retried, and doesn't count against the receiver.
func WithEndpoints(f func(ctx context.Context, url string) (Endpoint, error)) Option {
	return option(func(c *config) {
		c.endpoints = f
		if f == nil {
			c.problem(invalid("WithEndpoints(nil): give a function or leave the option out"))
		}
	})
}

// WithRetryPolicy replaces the default policy; the zero fields of p keep their defaults.
func WithRetryPolicy(p RetryPolicy) Option {
	return dispatcherOption("WithRetryPolicy", func(c *config) { c.policy = p })
}

// WithRateLimit bounds the attempts at one host to limit a second, and to burst at once. The default is 100/s
// with a burst of 100; rate.Inf lifts the limit.
func WithRateLimit(limit rate.Limit, burst int) Option {
	return dispatcherOption("WithRateLimit", func(c *config) { c.limit, c.burst = limit, burst })
}

// WithHostConcurrency bounds the attempts in flight at one host, and at one endpoint, to n. The default is
// 32; how many of them a receiver gets depends on how it answers.
func WithHostConcurrency(n int) Option {
	return option(func(c *config) { c.hostConcurrency = n })
}

// WithWorkers bounds the attempts in flight to n, and with them goroutines and sockets. The default is 256. With 0
// nothing is delivered here: a dispatcher that only enqueues, for others to deliver, needs [WithQueue].
func WithWorkers(n int) Option {
	return dispatcherOption("WithWorkers", func(c *config) { c.workers = n })
}

// WithQueueSize bounds the messages held in memory: due, waiting and in flight. The default is 10,000.
func WithQueueSize(messages int) Option {
	return dispatcherOption("WithQueueSize", func(c *config) { c.queueSize = messages })
}

// WithQueueBytes bounds the payload bytes held in memory. The default is 256 MiB. URLs and headers, at most 8 and
// 64 KiB a message, aren't counted.
func WithQueueBytes(n int64) Option {
	return dispatcherOption("WithQueueBytes", func(c *config) { c.queueBytes = n })
}

// WithMaxPayload bounds the bytes of one payload. The default is 1 MiB.
func WithMaxPayload(n int) Option {
	return option(func(c *config) { c.maxPayload = n })
}

// WithBackpressure lets Send and Enqueue wait for room in the queue until their context is done, where they
// would return [ErrQueueFull]. An observer that sends must bring a deadline then: it may be waiting for
// itself.
func WithBackpressure() Option {
	return dispatcherOption("WithBackpressure", func(c *config) { c.backpressure = true })
}

// WithQueue keeps messages in q instead of memory. The dispatcher doesn't close q.
func WithQueue(q Queue) Option {
	return dispatcherOption("WithQueue", func(c *config) { c.queue, c.queueGiven = q, true })
}

// WithTimeout bounds a whole attempt, from asking for the endpoint to the response's last byte. The default
// is 15 s. Endpoint functions, signers and transports of one's own must return when their context is done: when the
// time is over, or the dispatcher ends. What they leave running isn't stopped when an attempt ends before that.
func WithTimeout(d time.Duration) Option {
	return option(func(c *config) { c.timeout = d })
}

// WithHeader sends a header on every request. It may be given several times. An endpoint's and a message's
// headers of the same name replace it.
func WithHeader(key, value string) Option {
	return option(func(c *config) {
		if c.header == nil {
			c.header = make(http.Header)
		}
		if err := validateHeader(http.Header{key: {value}}); err != nil {
			c.problem(err)
			return
		}
		c.header.Add(key, value)
	})
}

// WithUserAgent replaces the User-Agent "signpost/<version>".
func WithUserAgent(s string) Option {
	return option(func(c *config) { c.userAgent = s })
}

// WithTLSConfig sets what TLS connections start from: root certificates, say, or a client certificate for all
// endpoints. It is cloned. Versions before 1.2 stay off.
func WithTLSConfig(t *tls.Config) Option {
	return option(func(c *config) { c.tls, c.tlsGiven = t, true })
}

// WithTransport lets wrap see, change or replace every request's round trip, for tracing or tests. It is
// called at least once for every transport that is made: one, and another for each client certificate. The guard
// against private addresses is inside what wrap is given: a RoundTripper that doesn't call it does without.
func WithTransport(wrap func(http.RoundTripper) http.RoundTripper) Option {
	return option(func(c *config) {
		c.wrapTransport = wrap
		if wrap == nil {
			c.problem(invalid("WithTransport(nil): give a function or leave the option out"))
		}
	})
}

// WithProxy sends everything through a proxy (http, https or socks5). The proxy resolves names and dials, so
// what may be reached is then for the proxy to guard: WithAllowedNetworks and WithDeniedNetworks, and the
// default that keeps private addresses closed, mean nothing. Proxies in the environment are never used.
func WithProxy(u *url.URL) Option {
	return option(func(c *config) { c.proxy, c.proxyGiven = u, true })
}

// WithAllowedNetworks opens networks that are closed by default, because they aren't globally reachable:
// "127.0.0.0/8" for development, a company's own "10.1.0.0/16". It may be given several times.
func WithAllowedNetworks(cidr ...string) Option {
	return option(func(c *config) { c.allowed = append(c.allowed, cidr...) })
}

// WithDeniedNetworks closes networks. It wins over WithAllowedNetworks. It may be given several times.
func WithDeniedNetworks(cidr ...string) Option {
	return option(func(c *config) { c.denied = append(c.denied, cidr...) })
}

// WithObserver has f called after every attempt and every ending, on the worker's goroutine: until f returns, the
// worker delivers nothing else and keeps its place in its host's window. So f should be quick, and a slow one
// slows its own host first. Of one message the outcomes come in order, of several at once; the first may come
// before Send has returned. f must not change m, and may keep it. ctx is done when the dispatcher ends. The option
// may be given several times.
func WithObserver(f func(ctx context.Context, m *Message, o Outcome)) Option {
	return dispatcherOption("WithObserver", func(c *config) {
		c.observers = append(c.observers, f)
		if f == nil {
			c.problem(invalid("WithObserver(nil): give a function or leave the option out"))
		}
	})
}

// WithLogger logs to l instead of slog.Default: Debug for attempts, Info for retries, Warn for a pause, Error
// for dead messages. Neither secrets nor signatures nor query strings are logged.
func WithLogger(l *slog.Logger) Option {
	return dispatcherOption("WithLogger", func(c *config) {
		c.logger = l
		if l == nil {
			c.problem(invalid("WithLogger(nil): give a logger; slog.New(slog.DiscardHandler) logs nothing"))
		}
	})
}

// newConfig applies options to the defaults and validates the result.
func newConfig(opts []Option) (*config, error) {
	c := &config{
		timeout: defaultTimeout, maxPayload: defaultMaxPayload, hostConcurrency: defaultHostConcurrency,
		userAgent: "signpost/" + version, limit: defaultRate, burst: defaultBurst, workers: defaultWorkers,
		queueSize: defaultQueueSize, queueBytes: defaultQueueBytes, logger: slog.Default(),
	}
	for i, o := range opts {
		if o == nil {
			c.problem(invalid("option %d is nil", i+1))
			continue
		}
		o.apply(c)
	}
	return c, c.validate()
}

// validate checks everything, and makes signer and guard from what was recorded.
func (c *config) validate() error {
	c.validateSigning()
	c.policy = c.validatePolicy()
	for _, x := range [...]struct {
		name             string
		value, min, most int64
	}{
		{"WithTimeout", int64(c.timeout), int64(time.Millisecond), int64(time.Hour)},
		{"WithMaxPayload", int64(c.maxPayload), 1, 1 << 30},
		{"WithHostConcurrency", int64(c.hostConcurrency), 1, schedule.MaxWindow},
		{"WithWorkers", int64(c.workers), 0, 100_000},
		{"WithQueueSize", int64(c.queueSize), 1, 1 << 30},
		{"WithQueueBytes", c.queueBytes, 1, math.MaxInt64 / 8},
	} {
		if x.value >= x.min && x.value <= x.most {
			continue
		}
		show := func(v int64) string { return strconv.FormatInt(v, 10) }
		if x.name == "WithTimeout" {
			show = func(v int64) string { return time.Duration(v).String() }
		}
		c.problem(invalid("%s(%s): give %s to %s", x.name, show(x.value), show(x.min), show(x.most)))
	}
	if c.queueBytes < int64(c.maxPayload) {
		c.problem(invalid("WithQueueBytes(%d): less than one payload (WithMaxPayload(%d))", c.queueBytes, c.maxPayload))
	}
	if !(c.limit > 0) || c.burst < 1 && c.limit != rate.Inf {
		c.problem(invalid("WithRateLimit(%v, %d): both must be positive; rate.Inf lifts the limit", float64(c.limit), c.burst))
	}
	if c.userAgent == "" || !isFieldValue(c.userAgent) {
		c.problem(invalid("WithUserAgent(%q): give a header value", c.userAgent))
	}
	if c.queueGiven && c.queue == nil {
		c.problem(invalid("WithQueue(nil): give a queue or leave the option out"))
	}
	if c.tlsGiven && c.tls == nil {
		c.problem(invalid("WithTLSConfig(nil): give a config or leave the option out"))
	}
	c.validateProxy()
	allowed, err := egress.ParsePrefixes(c.allowed...)
	if err != nil {
		c.problem(invalid("WithAllowedNetworks: %w", err))
	}
	denied, err := egress.ParsePrefixes(c.denied...)
	if err != nil {
		c.problem(invalid("WithDeniedNetworks: %w", err))
	}
	c.guard = egress.New(allowed, denied)
	return errors.Join(c.problems...)
}

func (c *config) validateSigning() {
	if c.secretsGiven {
		c.signing = append(c.signing, "WithSecret")
		var keys []Key
		for i, s := range c.secrets {
			secret, err := ParseSecret(s)
			if err != nil {
				c.problem(invalid("WithSecret: secret %d: %w", i+1, err))
				continue
			}
			keys = append(keys, secret)
		}
		if len(c.secrets) == 0 {
			c.problem(invalid("WithSecret: give a secret; NewSecret().Reveal() makes one"))
		}
		if len(keys) > 0 {
			c.signer = standardSigner(keys)
		}
		c.secrets = nil // whatever prints a Dispatcher, or what is in it, must not show them
	}
	switch {
	case len(c.signing) == 0:
		c.problem(invalid("signing: give WithSecret or WithSigner, or WithoutSigning if receivers need not know who sends"))
	case len(c.signing) > 1 && c.signing[0] != c.signing[len(c.signing)-1]:
		c.problem(invalid("signing: %s and %s exclude each other; Signers joins several", c.signing[0], c.signing[len(c.signing)-1]))
	}
}

func (c *config) validatePolicy() RetryPolicy {
	p := c.policy
	if p.MaxAttempts < 0 {
		c.problem(invalid("RetryPolicy.MaxAttempts %d: give 1 or more, or 0 for the default", p.MaxAttempts))
	}
	if p.MaxAge < 0 {
		c.problem(invalid("RetryPolicy.MaxAge %v: give a positive duration, or 0 for the default", p.MaxAge))
	}
	if p.MaxRetryAfter < 0 {
		c.problem(invalid("RetryPolicy.MaxRetryAfter %v: give a positive duration, or 0 for the default", p.MaxRetryAfter))
	}
	if p.BackOff != nil && p.BackOff() == nil {
		c.problem(invalid("RetryPolicy.BackOff: it returns nil"))
	}
	return p.withDefaults()
}

func (c *config) validateProxy() {
	if !c.proxyGiven {
		return
	}
	if c.proxy == nil {
		c.problem(invalid("WithProxy(nil): give a URL or leave the option out"))
		return
	}
	switch c.proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
		if c.proxy.Hostname() != "" {
			return
		}
	}
	c.problem(invalid("WithProxy(%q): give an http, https or socks5 URL with a host", c.proxy.Redacted()))
}

// newSenderConfig is newConfig for a Sender alone.
func newSenderConfig(opts []Option) (*config, error) {
	c, err := newConfig(opts)
	for _, name := range c.dispatcherOnly {
		err = errors.Join(err, invalid("%s: it means nothing to a Sender, only to a Dispatcher", name))
	}
	return c, err
}
