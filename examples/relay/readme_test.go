package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite README.md's table of variables")

const tableBegins, tableEnds = "<!-- variables -->\n", "<!-- /variables -->\n"

// README.md's table is what config.go says; -update rewrites it.
func TestReadmeHasEveryVariable(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| variable | default | meaning |\n|---|---|---|\n")
	for _, v := range new(config).variables() {
		initial := "none"
		switch {
		case v.required:
			initial = "required"
		case v.initial != "":
			initial = "`" + v.initial + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.name, initial, v.meaning)
	}
	table.WriteString("\n")

	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), tableBegins)
	require.True(t, ok)
	had, after, ok := strings.Cut(rest, tableEnds)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(before+tableBegins+table.String()+tableEnds+after), 0o644))
		return
	}
	assert.Equal(t, table.String(), had, "run go test -run %s -update .", t.Name())
}

// Every variable that README.md names is one that the relay knows.
func TestReadmeNamesNoOtherVariable(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	known := map[string]bool{variablePrefix: true}
	for _, v := range new(config).variables() {
		known[v.name] = true
		known[v.name+"_FILE"] = v.secret
	}
	for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') }) {
		if strings.HasPrefix(word, variablePrefix) {
			assert.True(t, known[word], "%s is a variable", word)
		}
	}
}
