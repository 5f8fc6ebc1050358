package report

import (
	"fmt"
	"strings"
)

// A document is Markdown that is being written.
type document struct{ strings.Builder }

func (d *document) heading(level int, text string) {
	fmt.Fprintf(d, "%s %s\n\n", strings.Repeat("#", level), oneLine(text))
}

func (d *document) paragraph(text string) { fmt.Fprintf(d, "%s\n\n", oneLine(text)) }

func (d *document) picture(alternative, path string) {
	fmt.Fprintf(d, "![%s](%s)\n\n", strings.NewReplacer("[", `\[`, "]", `\]`).Replace(oneLine(alternative)), path)
}

func (d *document) list(items []string) {
	for _, item := range items {
		fmt.Fprintf(d, "- %s\n", oneLine(item))
	}
	d.WriteByte('\n')
}

// table writes a table. align has a letter for each column: l for text, r for numbers.
func (d *document) table(align string, head []string, rows [][]string) {
	d.row(head)
	for _, a := range align {
		d.WriteString(map[rune]string{'l': "|---", 'r': "|---:"}[a])
	}
	d.WriteString("|\n")
	for _, row := range rows {
		d.row(row)
	}
	d.WriteByte('\n')
}

func (d *document) row(cells []string) {
	for _, c := range cells {
		fmt.Fprintf(d, "| %s ", strings.ReplaceAll(oneLine(c), "|", `\|`))
	}
	d.WriteString("|\n")
}

// oneLine joins the lines of a text: a line break would end a row or an item.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
