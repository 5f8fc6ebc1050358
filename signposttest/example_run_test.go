package signposttest_test

import "testing"

// The example can't be a test itself: a file that is shown whole may hold none.
func TestExample(t *testing.T) { testOrderIsAnnounced(t) }
