package progress_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/signpost-go/signpost/bench/internal/progress"
)

func sleep(d time.Duration) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}

func TestRunSaysHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		require.NoError(t, progress.Run(t.Context(), &out, []progress.Step{
			{"short", 10 * time.Second, sleep(5 * time.Second)},
			{"long", 4 * time.Minute, sleep(5 * time.Minute)},
			{"longer", 10 * time.Minute, sleep(9 * time.Minute)},
		}))
		assert.Equal(t, `[ 1/3] short … 0 s of about 14 min
[ 2/3] long … 5 s of about 14 min
[ 3/3] longer … 5:05 min of about 15 min
done after 14 min
`, out.String())
	})
}

func TestRunEndsWithTheFirstErrorOrTheContext(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	fail := func(context.Context) error { return errors.New("no luck") }
	var out strings.Builder
	err := progress.Run(ctx, &out, []progress.Step{{"one", 0, fail}, {"two", 0, sleep(0)}})
	assert.EqualError(t, err, "one: no luck")
	assert.NotContains(t, out.String(), "two")

	cancel(cause)
	assert.Equal(t, cause, progress.Run(ctx, &out, []progress.Step{{"one", 0, func(ctx context.Context) error { return ctx.Err() }}}))
}
