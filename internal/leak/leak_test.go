package leak

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestGoroutines(t *testing.T) {
	assert.Empty(t, Goroutines(time.Minute))
	end := make(chan bool)
	go stays(end)
	assert.Contains(t, Goroutines(time.Millisecond), "leak.stays")
	assert.Empty(t, Goroutines(time.Minute, "leak.stays"))
	close(end)
	assert.Empty(t, Goroutines(time.Minute))
}

func stays(end <-chan bool) { <-end }
