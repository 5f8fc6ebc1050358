package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// trimEvery is how often what is finished is deleted. The topics keep messages for ever otherwise, as they must, and a group
// that loses its offsets, as one does that has had no member for offsets.retention.minutes, begins with what is there.
const trimEvery = time.Minute

// trimAll is the trimmer's goroutine.
func (q *Queue) trimAll() {
	for sleep(q.ctx, trimEvery) {
		q.trim(q.ctx, q.assigned())
	}
}

// trim has the brokers delete what is committed as finished.
func (q *Queue) trim(ctx context.Context, parts []*partition) {
	offsets := kadm.Offsets{}
	q.mu.Lock()
	for _, p := range parts {
		if p.committed > p.trimmed {
			offsets.AddOffset(p.topic, p.partition, p.committed, -1)
		}
	}
	q.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	all, err := q.admin.DeleteRecords(ctx, offsets)
	if err == nil {
		err = all.Error()
	}
	if err != nil {
		if errors.Is(err, kerr.TopicAuthorizationFailed) {
			q.config.logger.Error("kafka: messages that are finished can't be deleted, the topics grow; allow Delete on them",
				"err", err)
		} else if ctx.Err() == nil {
			q.config.logger.Warn("kafka: messages that are finished can't be deleted now, will try again", "err", err)
		}
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range parts {
		if o, ok := offsets.Lookup(p.topic, p.partition); ok {
			p.trimmed = max(p.trimmed, o.At)
		}
	}
}
