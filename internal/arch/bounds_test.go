package arch

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// update rewrites docs/bounds.md from the code.
var update = flag.Bool("update", false, "write docs/bounds.md")

const boundsFile = "../../docs/bounds.md"

const boundsHead = `# Bounds

Every bound of the server: what it limits and its default. Those that [config.md](config.md) names have a key; the others
are constants of their package, and this file is where they stand. It is written by
` + "`go test ./internal/arch -update`" + ` from the Limits, Timeouts and Params of each package and from the constants of
packages that limit something, and a test compares; what counts as one says the comment of that test.
`

const constantsHead = `
## Constants

These are fixed: of the server, of its commands, and of the programs that try others.
`

// bound is one field of a package's limits.
type bound struct{ name, value, words string }

// Every field of a Limits or Timeouts, and every constant that bounds something, has words and a
// default, and stands in docs/bounds.md.
func TestEveryBoundIsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(boundsHead)
	found := 0
	for _, room := range roomsWithBounds(t) {
		fmt.Fprintf(&b, "\n## %s\n\n| bound | default | what it limits |\n|---|---|---|\n", room.title)
		for _, v := range room.bounds {
			found++
			if v.words == "" {
				t.Errorf("%s: %s has no words", room.title, v.name)
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", v.name, v.value, v.words)
		}
	}
	constants, fixed := constSections(t)
	if found < 400 || fixed < 400 {
		t.Errorf("only %d bounds and %d constants found", found, fixed)
	}
	b.WriteString(constantsHead + constants)
	if *update {
		if err := os.WriteFile(boundsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(boundsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/bounds.md is behind the code: run go test ./internal/arch -update and read the difference")
	}
}

type roomBounds struct {
	title  string
	bounds []bound
}

// roomsWithBounds finds each DefaultX function that returns a composite Y, and the
// struct Y with its comments: X and Y are the same where there is one default.
func roomsWithBounds(t *testing.T) []roomBounds {
	structs := map[string]*ast.StructType{} // by room and type
	var out []roomBounds
	all := sources(t)
	for _, s := range all {
		for _, d := range s.file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, spec := range g.Specs {
					if st, ok := spec.(*ast.TypeSpec).Type.(*ast.StructType); ok {
						structs[s.room+"."+spec.(*ast.TypeSpec).Name.Name] = st
					}
				}
			}
		}
	}
	for _, s := range all {
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			name, ok := strings.CutPrefix(f.Name.Name, "Default")
			st := structs[s.room+"."+result(f)]
			if !ok || st == nil || !(strings.HasSuffix(name, "Limits") || name == "Timeouts" || name == "Options" || strings.HasSuffix(name, "Params")) {
				continue
			}
			if !returnsLiteral(f) {
				t.Errorf("%s: the reference tells what a literal says: let %s return one, and nothing be changed in it", s.at(f), f.Name.Name)
			}
			out = append(out, roomBounds{title: s.room + "." + name, bounds: boundsOf(st, defaults(s, f))})
		}
	}
	slices.SortFunc(out, func(a, b roomBounds) int { return strings.Compare(a.title, b.title) })
	return out
}

// result names what a function returns; "" where that is no type of its own room.
func result(f *ast.FuncDecl) string {
	if f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return ""
	}
	name, ok := f.Type.Results.List[0].Type.(*ast.Ident)
	if !ok {
		return ""
	}
	return name.Name
}

// returnsLiteral reports whether a function returns a composite literal, as it stands there.
func returnsLiteral(f *ast.FuncDecl) bool {
	last, ok := f.Body.List[len(f.Body.List)-1].(*ast.ReturnStmt)
	if !ok || len(last.Results) != 1 {
		return false
	}
	_, literal := last.Results[0].(*ast.CompositeLit)
	return literal
}

// defaults reads the composite literal that f returns.
func defaults(s source, f *ast.FuncDecl) map[string]string {
	out := map[string]string{}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := kv.Key.(*ast.Ident); ok {
			var b bytes.Buffer
			if printer.Fprint(&b, s.fset, kv.Value) == nil {
				out[key.Name] = "`" + b.String() + "`"
			}
		}
		return false
	})
	return out
}

// boundsOf lists the fields that have a default; a comment above a group of fields
// counts for all of them.
func boundsOf(st *ast.StructType, values map[string]string) []bound {
	var out []bound
	for _, field := range st.Fields.List {
		words := strings.TrimSpace(field.Doc.Text() + " " + field.Comment.Text())
		words = strings.ReplaceAll(strings.Join(strings.Fields(words), " "), "|", "\\|")
		for _, name := range field.Names {
			if v, ok := values[name.Name]; ok && !slices.Contains([]string{"FS", "Logger"}, name.Name) {
				out = append(out, bound{name.Name, v, words})
			}
		}
	}
	return out
}
