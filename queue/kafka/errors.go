package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// What Open and a queue's methods return, wrapped with what was wrong and what to do.
var (
	ErrClosed   = errors.New("kafka: queue is closed")    // by Close
	ErrTopology = errors.New("kafka: topics are not fit") // one that exists differs from what the queue needs
	ErrTooLarge = errors.New("kafka: message too large")  // for WithMaxBytes, or for the broker
)

// explain says what an error of the client means to a caller, who was doing something.
func explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrClosed):
		return err
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fmt.Errorf("%w: %s: see WithMaxBytes, and the topic's max.message.bytes: %w", ErrTooLarge, doing, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return fmt.Errorf("kafka: %s: the topic was deleted; Open creates it: %w", doing, err)
	}
	return fmt.Errorf("kafka: %s: %w", doing, err)
}

// isFinal reports whether it is no use to try again what has failed: somebody must change something first.
func isFinal(err error) bool {
	for _, e := range []error{
		ErrTopology, kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.PolicyViolation, kerr.InvalidReplicationFactor, kerr.InvalidTopicException, kerr.InvalidPartitions,
		kerr.InvalidConfig,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var unverified *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	return errors.As(err, &unverified) || errors.As(err, &authority)
}
