package sqlite

import (
	"database/sql"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the package's documentation has for sqlite3 works beside an open queue.
func TestDocumentedQueries(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	q, path := logOfEight(t)
	db, err := sql.Open("sqlite", "file://"+path)
	require.NoError(t, err)
	defer db.Close()
	queries := regexp.MustCompile(`(?m)^//\tsqlite3 .*webhooks\.db "(.*)"$`).FindAllSubmatch(text, -1)
	require.GreaterOrEqual(t, len(queries), 5)
	for _, m := range queries {
		query := strings.ReplaceAll(string(m[1]), "/backup/", t.TempDir()+"/")
		query = strings.ReplaceAll(query, "msg_1", "msg_d1")
		t.Log(query)
		rows, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		for rows.Next() {
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	require.Equal(t, must(q.Counts(t.Context())), Counts{Pending: 2, Delivered: 2, Dead: 3}) // the damaged one was deleted
}

// Every column is documented, and in the order that it has.
func TestDocumentedColumns(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, path := openLogged(t)
	db, err := sql.Open("sqlite", "file://"+path)
	require.NoError(t, err)
	defer db.Close()
	for table, c := range map[string]struct{ after, also string }{
		"deliveries": {"It has a row for each message:", ""},
		"messages":   {"Table messages:", "id state reason host url attempts"}, // as in the view
		"attempts":   {"Table attempts:", ""},
	} {
		_, list, ok := strings.Cut(string(text), c.after)
		require.True(t, ok)
		var documented []string
		for line := range strings.Lines(strings.TrimPrefix(list, "\n//\n")) {
			fields := strings.Fields(line)
			if !strings.HasPrefix(line, "//\t") {
				break
			}
			documented = append(documented, fields[1])
		}
		var columns []string
		rows, err := db.QueryContext(t.Context(), "SELECT name FROM pragma_table_info(?)", table)
		require.NoError(t, err)
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			if !strings.Contains(" "+c.also+" ", " "+name+" ") {
				columns = append(columns, name)
			}
		}
		require.NoError(t, rows.Err())
		require.Equal(t, columns, documented, table)
	}
}
