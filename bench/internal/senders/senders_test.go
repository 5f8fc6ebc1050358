package senders_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost"
	"github.com/signpost-go/signpost/bench/internal/payload"
	"github.com/signpost-go/signpost/bench/internal/receiver"
	"github.com/signpost-go/signpost/bench/internal/redis"
	"github.com/signpost-go/signpost/bench/internal/result"
	"github.com/signpost-go/signpost/bench/internal/senders"
)

const patience = 30 * time.Second // for what takes milliseconds on a machine with nothing else to do

// config is what a sender of the kind is made with. It starts a Redis server if the kind needs one.
func config(t *testing.T, k senders.Kind, r *receiver.Receiver, secret string) senders.Config {
	t.Helper()
	c := senders.Config{
		Secret: secret, Workers: 8, Buffer: 1000, Timeout: patience, Wait: 10 * time.Millisecond, Roots: r.Roots(),
	}
	if k.Redis {
		if !redis.Installed() {
			t.Skip(redis.ErrMissing)
		}
		server, err := redis.Start(t.Context(), redis.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, server.Close()) })
		c.Redis = server.Socket()
	}
	return c
}

// open returns a sender of the kind, and receivers for it.
func open(t *testing.T, k senders.Kind, rc receiver.Config) (senders.Sender, *receiver.Receiver) {
	t.Helper()
	rc.Secret = signpost.NewSecret().Reveal()
	r, err := receiver.New(rc)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	s, err := k.New(config(t, k, r, rc.Secret))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s, r
}

// each runs a test for every kind of sender.
func each(t *testing.T, test func(*testing.T, senders.Kind)) {
	for _, k := range senders.Kinds() {
		t.Run(k.Name, func(t *testing.T) { test(t, k) })
	}
}

func TestEverySenderDelivers(t *testing.T) {
	const messages, hosts = 200, 5
	for _, secure := range []bool{false, true} {
		name := "plain"
		if secure {
			name = "TLS"
		}
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, k senders.Kind) {
				s, r := open(t, k, receiver.Config{Messages: messages, Hosts: make([]receiver.Host, hosts), TLS: secure})
				urls, p := r.URLs(), payload.New(300) // one payload, numbered anew: a sender must not keep it
				for i := range messages {
					p.Number(i)
					require.NoError(t, s.Send(urls[i%hosts], p))
				}
				require.NoError(t, r.Wait(messages, patience))
				report, err := r.Report()
				require.NoError(t, err, "every request is signed")
				assert.Equal(t, messages, report.Arrived)
				assert.Zero(t, report.Duplicates)
			})
		})
	}
}

func TestEverySenderButTheLoopTriesAgain(t *testing.T) {
	each(t, func(t *testing.T, k senders.Kind) {
		s, r := open(t, k, receiver.Config{Messages: 1, Hosts: []receiver.Host{{Behaviour: receiver.Behaviour{Kind: receiver.Status, Status: 500}}}})
		p := payload.New(300)
		err := s.Send(r.URLs()[0], p)
		if k.Name == result.Loop {
			assert.ErrorContains(t, err, "500")
			return
		}
		require.NoError(t, err)
		assert.Eventually(t, func() bool {
			report, err := r.Report()
			return assert.NoError(t, err) && report.Duplicates == 4
		}, patience, 10*time.Millisecond, "five attempts")
	})
}

func TestNoSenderRepeatsWhatIsRejected(t *testing.T) {
	each(t, func(t *testing.T, k senders.Kind) {
		s, r := open(t, k, receiver.Config{Messages: 2, Hosts: []receiver.Host{
			{Behaviour: receiver.Behaviour{Kind: receiver.Status, Status: 410}}, {},
		}})
		for i, url := range r.URLs() {
			p := payload.New(300)
			p.Number(i)
			if err := s.Send(url, p); k.Name != result.Loop {
				require.NoError(t, err)
			}
		}
		require.NoError(t, r.Wait(2, patience))
		assert.Never(t, func() bool {
			report, err := r.Report()
			return err != nil || report.Duplicates > 0
		}, 200*time.Millisecond, 10*time.Millisecond)
	})
}

func TestKinds(t *testing.T) {
	names := map[string]bool{}
	for _, k := range senders.Kinds() {
		assert.NotEmpty(t, k.About)
		assert.Positive(t, k.Producers)
		assert.False(t, names[k.Name], "%s is there twice", k.Name)
		names[k.Name] = true
		found, err := senders.ByName(k.Name)
		require.NoError(t, err)
		assert.Equal(t, k.Name, found.Name)
	}
	_, err := senders.ByName("pigeon")
	assert.ErrorContains(t, err, "pigeon")
}
