package receiver_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/clock"
	"github.com/signpost-go/signpost/bench/internal/receiver"
)

// bad returns a host that behaves badly.
func bad(b receiver.Behaviour) receiver.Config {
	return receiver.Config{Messages: 10, Hosts: []receiver.Host{{Behaviour: b}}}
}

func TestStatus(t *testing.T) {
	p := newPeer(t, bad(receiver.Behaviour{Kind: receiver.Status, Status: 503}))
	p.mustPost(p.urls[0], 0, 503)
	assert.Equal(t, 1, p.report().BadNow, "the connection stays open, idle")
	p.mustPost(p.urls[0], 1, 503)
	assert.Equal(t, 1, p.report().BadMost)
}

func TestSlow(t *testing.T) {
	p := newPeer(t, bad(receiver.Behaviour{Kind: receiver.Slow, Delay: 50 * time.Millisecond}))
	begin := time.Now()
	p.mustPost(p.urls[0], 0, 200)
	assert.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)
}

// What never answers holds a connection until the sender gives up.
func TestHangAndDrip(t *testing.T) {
	for _, kind := range []receiver.Kind{receiver.Hang, receiver.Drip} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPeer(t, bad(receiver.Behaviour{Kind: kind}))
			const senders = 3
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			errs := make(chan error)
			for n := range senders {
				go func() {
					_, err := p.post(ctx, p.urls[0], n)
					errs <- err
				}()
			}
			require.NoError(t, p.receiver.Wait(senders, patience))
			p.eventually(senders)
			giveUp()
			for range senders {
				assert.ErrorIs(t, <-errs, context.Canceled)
			}
			p.eventually(0)
			assert.Equal(t, senders, p.report().BadMost)
		})
	}
}

func TestRefuse(t *testing.T) {
	c := bad(receiver.Behaviour{Kind: receiver.Refuse})
	c.Hosts = append(c.Hosts, receiver.Host{})
	p := newPeer(t, c)
	_, err := p.post(t.Context(), p.urls[0], 0)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	p.mustPost(p.urls[1], 1, 200)

	for _, h := range []receiver.Host{
		{Endpoints: []receiver.Behaviour{{Kind: receiver.Refuse}}}, {Behaviour: receiver.Behaviour{Kind: receiver.Refuse, After: time.Second}},
	} {
		_, err := receiver.New(receiver.Config{Secret: c.Secret, Hosts: []receiver.Host{h}})
		assert.ErrorContains(t, err, "host 0")
	}
}

func TestCloseLetsGoWhoHangs(t *testing.T) {
	for _, kind := range []receiver.Kind{receiver.Hang, receiver.Drip} {
		t.Run(string(kind), func(t *testing.T) {
			p := newPeer(t, bad(receiver.Behaviour{Kind: kind}))
			errs := make(chan error)
			go func() {
				_, err := p.post(t.Context(), p.urls[0], 0)
				errs <- err
			}()
			require.NoError(t, p.receiver.Wait(1, patience))
			p.receiver.Close()
			assert.Error(t, <-errs)
		})
	}
}

func TestAHostGoesBad(t *testing.T) {
	p := newPeer(t, bad(receiver.Behaviour{Kind: receiver.Status, Status: 500, After: time.Hour}))
	p.mustPost(p.urls[0], 0, 200)
	p.receiver.Start(clock.Now())
	p.mustPost(p.urls[0], 1, 200)
	assert.Zero(t, p.report().BadMost)

	p.receiver.Start(clock.Now().Add(-time.Hour))
	p.eventually(1) // it is open still
	p.mustPost(p.urls[0], 2, 500)
}

func TestEndpointsBehaveApart(t *testing.T) {
	p := newPeer(t, receiver.Config{Messages: 3, Hosts: []receiver.Host{{
		Endpoints: []receiver.Behaviour{{}, {Kind: receiver.Hang}, {Kind: receiver.Status, Status: 500}},
	}}})
	require.Len(t, p.urls, 3)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	hung := make(chan error)
	go func() {
		_, err := p.post(ctx, p.urls[1], 1)
		hung <- err
	}()
	require.NoError(t, p.receiver.Wait(1, patience))
	p.eventually(1)
	p.mustPost(p.urls[0], 0, 200)
	p.mustPost(p.urls[2], 2, 500)
	giveUp()
	assert.Error(t, <-hung)
	p.eventually(0)
	assert.LessOrEqual(t, p.report().BadMost, 2, "a connection counts while it waits for a bad endpoint")
}

func TestTLS(t *testing.T) {
	p := newPeer(t, receiver.Config{Messages: 4, Hosts: make([]receiver.Host, 2), TLS: true, Once: true})
	for i, url := range p.urls {
		assert.Regexp(t, "^https://", url)
		p.mustPost(url, i, 200)
	}
	assert.Equal(t, 2, p.report().Connections)
	assert.Zero(t, p.report().Resumed)
	p.receiver.Start(clock.Now())
	for i, url := range p.urls {
		p.mustPost(url, 2+i, 200)
	}
	assert.Equal(t, 2, p.report().Connections, "since the start")
	assert.Equal(t, 2, p.report().Resumed)
}
