/*
Package signpost sends webhooks: it signs a JSON payload, POSTs it, and tries again until the receiver has
accepted it, without ever letting one bad receiver delay another one's webhooks.

	dispatcher, err := signpost.New(signpost.WithSecret("whsec_…"))
	…
	id, err := dispatcher.Send(ctx, "https://customer.example/hook", event)

# The promise

Once [Dispatcher.Send] returns nil, the message ends in exactly one reported state, [Delivered] or [Dead]. It
is dead only after an attempt, unless its endpoint is gone or disabled, or its time ran out behind a pause.
With the in-memory queue this holds while the process lives, and [Dispatcher.Shutdown] hands back what it
could not deliver; with a durable [Queue] it holds across a crash.

What is not promised: a request may come twice, when an answer is lost on its way (receivers remember the
webhook-id of what they have handled); and no order is kept.

# The way of a message

Send validates a message, gives it an ID and puts it into a schedule. The schedule says whose turn it is; a
worker takes the turn and makes one [Attempt]: it asks how to reach the [Endpoint], signs, and POSTs, within
one deadline. The [RetryPolicy] says what the answer means: the message is delivered, will be retried at a
later time, or is dead. Observers and the log are told. No worker ever waits for a message: a retry, a rate
limit, a Retry-After and a pause are times in the schedule, so a million waiting messages cost memory and
nothing else.

# Whose turn it is

A host is a URL's lower-case name and port; an endpoint is the URL without query and fragment. Both matter,
because receivers share hosts: one customer's dead hook on a platform must not hold up another's.

  - The next turn goes to the host with the fewest attempts in flight, and there to the endpoint with the
    fewest. A slow receiver takes what the fast ones leave.
  - Every host and endpoint has a window of attempts in flight. It grows with every success that found an
    endpoint's window full, or more than half of a host's in use, up to [WithHostConcurrency], and is halved
    when the receiver is overloaded.
  - Every host and endpoint has a circuit breaker. After five failures in a row there is one probe at a time,
    at intervals from 1 s to 5 min. What waits behind it spends no attempts.
  - Failing hosts together hold at most half of the workers; failing endpoints at most half of their host's
    window. When that is down to one, there is a second place, and a failing endpoint has one of the two at most.
  - Every host has a rate limit, [WithRateLimit].
  - A Retry-After of a 429 or 503 holds the endpoint; never shorter than asked, never longer than
    [RetryPolicy].MaxRetryAfter.
  - Room in the queue is shared: whoever holds much of it gets no more when little is left, and who fails
    gets nothing of the last eighth, so that dead receivers never fill it for the others.

# Durable queues

With [WithQueue] messages are kept by a [Queue], and the schedule takes as many of them as it has room for. What
belongs to a host or endpoint that is paused, or has its share of the room, goes back to the queue. A
[HoldingQueue] is asked to hold back the rest of it, so that what waits for a dead receiver costs nothing. Of a
[SharedQueue] each dispatcher keeps its part of the rate limit. Of a [RevocableLease] that is lost it makes no attempt.

There are three, each a module of its own: queue/sqlite, one file on one machine; queue/rabbitmq and queue/kafka,
for several instances that share the work, and for producers in other languages.

# Signatures

By default messages are signed as Standard Webhooks 1.0.0 (https://www.standardwebhooks.com) says, with
HMAC-SHA256 ([Secret]) or ed25519 ([PrivateKey]); libraries in many languages verify that, and so does
[Verifier]. [HMACSigner] and [TimestampSigner] make the headers that GitHub and Stripe have made common,
[HeaderSigner] most others in a line, [SignerFunc] anything else, and [Signers] several at once, for the time of
a migration. With [WithEndpoints] every customer has secrets of their own.

# Who may be dialled

URLs come from customers, so they are hostile until shown otherwise. Only addresses that the IANA registries
call globally reachable are dialled. This is checked after DNS, for each address tried, so that a name can't
point inside. [WithAllowedNetworks] opens what development and tests need. Redirects are never followed, the
environment's proxies never used; what a receiver answers is bounded in bytes and in time.

# Testing

Package signposttest has a receiver for tests: it verifies, records, and misbehaves on demand. Package
queuetest has the suite that every [Queue] must pass.
*/
package signpost
