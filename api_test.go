package signpost_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite api/*.txt")

// The public surface is checked in, as Go's own is in its api folder: a change of it is seen in review,
// because it changes a file there too. `make api` writes them.
func TestPublicSurface(t *testing.T) {
	for _, dir := range []string{".", "signposttest", "queuetest"} {
		name := dir
		if dir == "." {
			name = "signpost"
		}
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("api", name+".txt")
			got := strings.Join(surface(t, dir), "\n") + "\n"
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), got, "the public surface of %s has changed: if it should, run make api", name)
		})
	}
}

// surface returns a line for every exported name of a package: constant, variable, function, method, type and
// field.
func surface(t *testing.T, dir string) (lines []string) {
	fset := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		require.NoError(t, err)
		files = append(files, file)
	}
	d, err := doc.NewFromFiles(fset, files, "github.com/signpost-go/signpost/"+dir)
	require.NoError(t, err)
	text := func(node any) string {
		var b bytes.Buffer
		require.NoError(t, printer.Fprint(&b, fset, node))
		return strings.Join(strings.Fields(b.String()), " ")
	}
	add := func(s ...string) { lines = append(lines, strings.Join(s, " ")) }
	values := func(kind string, vs []*doc.Value) {
		for _, v := range vs {
			for _, spec := range v.Decl.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if name.IsExported() {
						add(kind, name.Name)
					}
				}
			}
		}
	}
	funcs := func(fs []*doc.Func) {
		for _, f := range fs {
			f.Decl.Body, f.Decl.Doc = nil, nil
			add(text(f.Decl))
		}
	}
	values("const", d.Consts)
	values("var", d.Vars)
	funcs(d.Funcs)
	for _, typ := range d.Types {
		spec := typ.Decl.Specs[0].(*ast.TypeSpec)
		switch x := spec.Type.(type) {
		case *ast.StructType:
			add("type", spec.Name.Name, "struct")
			for _, f := range x.Fields.List {
				for _, name := range f.Names {
					if name.IsExported() {
						add("field", spec.Name.Name+"."+name.Name, text(f.Type))
					}
				}
			}
		case *ast.InterfaceType:
			add("type", spec.Name.Name, "interface")
			for _, f := range x.Methods.List {
				switch {
				case len(f.Names) == 0:
					add("embeds", spec.Name.Name, text(f.Type))
				case f.Names[0].IsExported():
					add("method", spec.Name.Name+"."+f.Names[0].Name, strings.TrimPrefix(text(f.Type), "func"))
				default:
					add("sealed", spec.Name.Name)
				}
			}
		default:
			add("type", spec.Name.Name, text(spec.Type))
		}
		values("const", typ.Consts)
		values("var", typ.Vars)
		funcs(typ.Funcs)
		funcs(typ.Methods)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}
