package faultlist

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type fault struct {
	Name string
	Does string
	Test func(t *testing.T)
}

func TestRun(t *testing.T) {
	var mu sync.Mutex
	var ran []string
	test := func(t *testing.T) {
		mu.Lock()
		defer mu.Unlock()
		ran = append(ran, t.Name())
	}
	t.Run("all", func(t *testing.T) {
		Run(t, []Group{New("disks", []fault{{"full", "", test}, {"slow", "", test}}), New("clock", []fault{{"back", "", test}})})
	})
	assert.ElementsMatch(t, []string{"TestRun/all/disks/full", "TestRun/all/disks/slow", "TestRun/all/clock/back"}, ran)
}

func TestPage(t *testing.T) {
	p := Page{File: filepath.Join(t.TempDir(), "page.md"), Mark: "faults", Column: "what it does"}
	require.NoError(t, os.WriteFile(p.File, []byte("before\n<!-- faults -->\nold\n<!-- /faults -->\nafter\n"), 0o600))
	groups := []Group{New("disks", []fault{{"full", "Waits.", nil}, {"slow", "Is slow.", nil}}), New("clock", []fault{{"back", "Goes on.", nil}})}
	p.Compare(t, groups, true)
	b, err := os.ReadFile(p.File)
	require.NoError(t, err)
	assert.Equal(t, `before
<!-- faults -->

### disks

| fault | what it does |
|---|---|
| full | Waits. |
| slow | Is slow. |

### clock

| fault | what it does |
|---|---|
| back | Goes on. |

<!-- /faults -->
after
`, string(b))
	p.Compare(t, groups, false)
}
