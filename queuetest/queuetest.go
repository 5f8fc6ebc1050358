// Package queuetest has the suite that an implementation of [signpost.Queue] must pass.
//
// [Run] holds a queue to its contract, one subtest for each thing that a dispatcher relies on. It works in
// real time and takes some seconds with a fast queue. It stays within what the contract says: a message may
// come twice only where something went wrong before, and how late one may come is the implementation's to
// declare. What is due earlier must come earlier among the messages of one endpoint, give or take
// [Harness].Late; beyond that no order is demanded, so a queue may serve endpoints in turn. What a
// [signpost.HoldingQueue] does is tested if the queue is one.
package queuetest

import (
	"testing"
	"time"

	"github.com/signpost-go/signpost"
)

// A Harness is how the suite gets at the queue under test. Each subtest has its own. The zero values of all
// fields but Open are the strictest.
type Harness struct {
	// Open opens the queue, or fails the test with t. It finds nothing in the queue when it is first called;
	// when it is called again, after the queue that it returned before was closed, it finds what that one has
	// left. The suite closes every queue that Open returns.
	Open func(t testing.TB) signpost.Queue

	// Late is how much later than due a message may come: after Enqueue, after its RetryAt, and after Open if
	// its lease was left unsettled; and after a hold has ended. The suite adds two seconds for a busy machine.
	Late time.Duration

	// Volatile says that nothing survives Close. What must survive it goes untested.
	Volatile bool

	// Partial says that an Enqueue of several messages that returns an error may leave some of them in the
	// queue, and not all or none.
	Partial bool
}

// Run runs the suite. It calls newHarness at the beginning of every subtest. Tests that run at the same time
// can make it fail: it counts goroutines, and expects that short waits end in time.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			c.do(t, newHarness(t), patient())
		})
	}
}

// A check is one demand of the contract.
type check struct {
	name    string
	reopens bool // it is about nothing but what survives Close
	run     func(s *session)
}

// do runs the check on the goroutine of test t.
func (c check) do(t testing.TB, h Harness, l limits) {
	if c.reopens && h.Volatile {
		t.Skip("the queue is volatile")
	}
	s := &session{t: t, h: h, limits: l}
	t.Cleanup(s.end)
	s.open()
	c.run(s)
}

func checks() []check {
	return []check{
		{"Enqueue keeps every field", false, keepsFields},
		{"Enqueue keeps a payload of 1 MiB", false, keepsLargePayload},
		{"Enqueue takes over a batch", false, takesBatch},
		{"Enqueue keeps nothing that the caller can change", false, keepsCopies},
		{"Enqueue accepts an ID again", false, acceptsIDAgain},
		{"Enqueue with a cancelled context", false, enqueueCancelled},
		{"Enqueue cut off takes over all or none", false, enqueueCutOff},

		{"Receive waits for a new message", false, receiveWaits},
		{"Receive honours its context", false, receiveHonoursContext},
		{"Receive that is cancelled loses no message", false, receiveCancelledLosesNothing},
		{"Receive gives a leased message to nobody else", false, receiveLeasesOnce},
		{"Receive gives short waits before long ones", false, shortBeforeLong},
		{"Receive gives waiting messages when they are due", false, waitingComeWhenDue},

		{"Settle as Delivered or Dead ends a message", false, settleEnds},
		{"Settle as Retrying brings it back with one more attempt", false, settleRetries},
		{"Settle as Deferred brings it back as it was", false, settleDefers},
		{"Settle for a time that is past brings it back at once", false, settlePast},
		{"Settle again returns ErrSettled", false, settleAgain},
		{"Settle by several at once works once", false, settleAtOnce},
		{"Settle with a cancelled context", false, settleCancelled},
		{"Settle cut off can be called again", false, settleCutOff},

		{"Close ends calls that wait", false, closeEndsWaiting},
		{"Close leaves a queue that returns errors", false, closedReturnsErrors},
		{"Close leaves no goroutines", false, closeLeavesNoGoroutines},

		{"Hold keeps back a host's messages and no others", false, holding(holdsHost)},
		{"Hold keeps back an endpoint's messages and no others", false, holding(holdsEndpoint)},
		{"Hold keeps back what comes later, too", false, holding(holdsWhatComes)},
		{"Hold replaces the one before", false, holding(holdIsReplaced)},
		{"Hold is over when its time has passed", false, holding(holdPasses)},
		{"Hold for a time that is past ends it", false, holding(holdEnds)},

		{"reopened, messages are there", true, messagesSurvive},
		{"reopened, unsettled leases come back", true, leasesComeBack},
		{"reopened, old leases are lost", true, oldLeasesAreLost},
		{"reopened, outcomes hold", true, outcomesSurvive},
		{"reopened after Close under load, nothing is lost", true, loadSurvivesClose},
		{"reopened, nothing is held back", true, holding(holdsAreForgotten)},

		{"under load nothing is lost or doubled", false, loadIsDelivered},
		{"under load with holds nothing is lost or doubled", false, holding(loadSurvivesHolds)},
	}
}
