package interop

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite what docs/receivers.md and docs/wire.md show of these tests")

const document = "../docs/receivers.md"

// docs/receivers.md shows the very files that these tests run, and what they found.
func TestDocument(t *testing.T) {
	checkDocument(t, document, map[string]string{
		"verifiers": verifierTable(), "snippets": snippets(t), "refused": refusedTable(), "signer": messageSigner(t),
	})
}

// checkDocument compares what stands between marks in a document, or rewrites it with -update, and looks for what its links name.
func checkDocument(t *testing.T, document string, marks map[string]string) {
	t.Helper()
	read, err := os.ReadFile(document)
	require.NoError(t, err)
	text := string(read)
	for mark, want := range marks {
		before, rest, ok := strings.Cut(text, "<!-- "+mark+" -->\n")
		require.True(t, ok, mark)
		_, after, ok := strings.Cut(rest, "<!-- /"+mark+" -->\n")
		require.True(t, ok, mark)
		text = before + "<!-- " + mark + " -->\n\n" + want + "\n<!-- /" + mark + " -->\n" + after
	}
	if *update {
		require.NoError(t, os.WriteFile(document, []byte(text), 0o644))
	}
	if text != string(read) && !*update {
		t.Errorf("%s isn't what these tests run; run go test -run Document -update", document)
	}
	for _, link := range regexp.MustCompile(`\]\(([^):#]+)\)`).FindAllStringSubmatch(text, -1) {
		_, err := os.Stat(filepath.Join(filepath.Dir(document), link[1]))
		assert.NoError(t, err)
	}
}

// languageNames has the languages in the document's order.
var languageNames = []struct{ folder, name, code string }{
	{"javascript", "JavaScript", "js"}, {"python", "Python", "python"}, {"go", "Go", "go"}, {"java", "Java", "java"},
	{"rust", "Rust", "rust"},
}

func languageName(v verifier) string {
	for _, l := range languageNames {
		if l.folder == v.language {
			return l.name
		}
	}
	return v.language
}

func verifierTable() string {
	var b strings.Builder
	b.WriteString("| scheme | language | library | version |\n|---|---|---|---|\n")
	rows := slices.Clone(verifiers)
	slices.SortStableFunc(rows, func(a, b verifier) int { return schemeOrder(a.scheme) - schemeOrder(b.scheme) })
	for _, v := range rows {
		fmt.Fprintf(&b, "| %s | %s | [%s](../interop/%s/%s) | %s |\n",
			v.scheme, languageName(v), v.library, v.language, v.source, cmp.Or(v.version, "its own"))
	}
	return b.String()
}

func schemeOrder(scheme string) int {
	return slices.IndexFunc(verifiers, func(v verifier) bool { return v.scheme == scheme })
}

func snippets(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, l := range languageNames {
		fmt.Fprintf(&b, "### %s\n\n", l.name)
		var shown []string
		for _, v := range verifiers {
			if v.language != l.folder || slices.Contains(shown, v.source) {
				continue
			}
			shown = append(shown, v.source)
			var schemes []string
			for _, other := range verifiers {
				if other.language == v.language && other.source == v.source {
					schemes = append(schemes, other.scheme)
				}
			}
			code, err := os.ReadFile(filepath.Join(v.language, v.source))
			require.NoError(t, err)
			name := strings.TrimSpace(v.library + " " + v.version)
			fmt.Fprintf(&b, "%s, with %s:\n\n```%s\n%s```\n\n", strings.Join(schemes, "; "), name, l.code, code)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func refusedTable() string {
	var b strings.Builder
	b.WriteString("| library | refuses | and says |\n|---|---|---|\n")
	var seen []string
	for _, v := range verifiers {
		for _, p := range []string{notUTF8, deep, deepest, longNumber} {
			line := fmt.Sprintf("| %s, %s %s | %s | %s |\n", languageName(v), v.library, v.version, p, v.refuses[p])
			if v.refuses[p] != "" && !slices.Contains(seen, line) {
				seen = append(seen, line)
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

func messageSigner(t *testing.T) string {
	t.Helper()
	code, err := os.ReadFile("messagesigner_test.go")
	require.NoError(t, err)
	_, function, ok := strings.Cut(string(code), "\n// newMessageSigner")
	require.True(t, ok)
	return "```go\n// newMessageSigner" + function + "```\n"
}
