// Package signposttest helps to test code that sends webhooks with signpost, as net/http/httptest helps to
// test HTTP clients.
//
// A [Receiver] stands in for a customer's endpoint. It listens on loopback, verifies the signature of every
// request, and answers as the test scripts it: with an error, a hang, a drip, a cut connection, and with 200
// once the script is over. The test gives its dispatcher [Receiver.Options], sends to the receiver's URL, and
// asks [Receiver.Wait] for what came. A request that doesn't verify fails the test, and so does one that Wait
// waits for in vain: neither needs an assertion. Everything ends with the test.
//
// Retries wait for seconds by default. A test gives [signpost.WithRetryPolicy] a shorter BackOff, and
// [signpost.WithTimeout] a short timeout where a reply hangs. After five failures in a row the dispatcher's
// circuit breaker makes pauses of its own, a second and more, that no policy shortens: keep scripts shorter
// than that.
//
// A receiver uses real sockets and the real time. In a testing/synctest bubble it would hang, and the
// bubble's clock is years away from the timestamps that it accepts.
package signposttest
