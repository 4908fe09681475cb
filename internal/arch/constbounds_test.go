package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const formatsFile = "formats.txt"

// constBound is a constant of a package that bounds something.
type constBound struct {
	room, name string
	at         string // where it is declared
	bound
}

// constBounds returns the constants that bound something.
//
// A bound is a constant of a package with a number of its own (written out, not counted by iota,
// and of no type of the house's) that is a length of time, or that code compares with < <= > >= or
// case, or a length with == or !=, takes the min or max of, makes room by (make, a limited or
// buffered reader, a channel, a cache, workers), counts up to in a range, gives where a bound is
// asked for (a parameter or a field that says so by its name), or that is called max, most, min,
// least or few, or ends in most or max. What such a number is instead, a length that a format has
// or a port or a value of a protocol, stands in formats.txt with its reason; everything else is a
// bound, has a comment that says what it limits, and stands in docs/bounds.md. The figures of a
// simulation (hijack/replay) and rooms that are for tests alone have none.
func constBounds(t *testing.T) (out []constBound) {
	limiting := limitingNames(t)
	for _, s := range sources(t) {
		if s.room == "hijack/replay" || strings.HasSuffix(s.room, "test") {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					if i >= len(v.Values) || !numeric(v.Values[i]) || v.Type != nil && !slices.Contains([]string{"int", "int64", "uint64", "float64"}, text(s, v.Type)) {
						continue
					}
					value := text(s, v.Values[i])
					if strings.Contains(value, "time.") || limiting[s.room+"."+name.Name] || limitingWord(name.Name) {
						out = append(out, constBound{s.room, name.Name, s.at(name), bound{name.Name, "`" + value + "`", constWords(g, v)}})
					}
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b constBound) int {
		if c := strings.Compare(a.room, b.room); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

// limitingWord reports whether a name says that it bounds.
func limitingWord(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"max", "most", "min", "least", "few"}, func(w string) bool { return strings.HasPrefix(name, w) }) ||
		strings.HasSuffix(name, "most") || strings.HasSuffix(name, "max")
}

// numeric reports whether an expression is a number by itself.
func numeric(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return (e.Kind == token.INT || e.Kind == token.FLOAT) && !strings.HasPrefix(e.Value, "0x") && !strings.HasPrefix(e.Value, "0o")
	case *ast.ParenExpr:
		return numeric(e.X)
	case *ast.BinaryExpr:
		return operand(e.X) && operand(e.Y) && (numeric(e.X) || numeric(e.Y)) && e.Op != token.OR
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		return ok && x.Name == "time"
	}
	return false
}

func operand(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	_, other := e.(*ast.SelectorExpr)
	return numeric(e) || ok && id.Name != "iota" || other
}

func text(s source, n ast.Node) string {
	var b bytes.Buffer
	_ = printer.Fprint(&b, s.fset, n)
	return b.String()
}

// constWords are what is said of a constant: beside it or above it, above one before it that names
// it too, or above its group.
func constWords(g *ast.GenDecl, v *ast.ValueSpec) string {
	words := strings.TrimSpace(v.Doc.Text() + " " + v.Comment.Text())
	for i := 0; words == "" && i < len(g.Specs); i++ {
		if doc := g.Specs[i].(*ast.ValueSpec).Doc.Text(); regexp.MustCompile(`\b` + v.Names[0].Name + `\b`).MatchString(doc) {
			words = doc
		}
	}
	if words == "" {
		words = g.Doc.Text()
	}
	return strings.ReplaceAll(strings.Join(strings.Fields(words), " "), "|", "\\|")
}

// limitingNames are the names that code limits something by, as "room.name".
func limitingNames(t *testing.T) map[string]bool {
	out, rooms := map[string]bool{}, map[string][]string{}
	for _, s := range sources(t) {
		if !slices.Contains(rooms[s.file.Name.Name], s.room) {
			rooms[s.file.Name.Name] = append(rooms[s.file.Name.Name], s.room)
		}
	}
	makers := []string{"min", "max", "make", "LimitReader", "NewReaderSize", "NewWriterSize", "NewReader", "New", "Grow", "Printable", "Shown", "ShownLine", "PlainLine", "Word"}
	takers := boundParams(sources(t))
	for _, s := range sources(t) {
		var note func(n ast.Node) bool
		note = func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok {
					for _, room := range rooms[x.Name] {
						out[room+"."+n.Sel.Name] = true
					}
				}
				return false
			case *ast.Ident:
				out[s.room+"."+n.Name] = true
			}
			return true
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if ordered(n.Op) || (n.Op == token.EQL || n.Op == token.NEQ) && (isLength(n.X) || isLength(n.Y)) {
					ast.Inspect(n, note)
				}
			case *ast.RangeStmt:
				ast.Inspect(n.X, note)
			case *ast.CallExpr:
				_, name := called(n.Fun)
				for i, a := range n.Args {
					if slices.Contains(makers, name) || given(s, n, i, takers) != "" {
						ast.Inspect(a, note)
					}
				}
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && (fieldWord(key.Name) || key.Name == "Entries") {
					ast.Inspect(n.Value, note)
				}
			}
			return true
		})
	}
	return out
}

// formats are the constants that look like bounds and are none, as "room.name".
func formats(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, line := range lines(t, formatsFile) {
		names, why, ok := strings.Cut(line, " | ")
		room, list, has := strings.Cut(names, ": ")
		if !ok || !has || why == "" {
			t.Errorf("%s: %q has no room, names and reason", formatsFile, line)
		}
		for _, name := range strings.Fields(list) {
			out[room+"."+name] = true
		}
	}
	return out
}

// constSections are the sections of docs/bounds.md about constants, and how many there are.
func constSections(t *testing.T) (document string, found int) {
	t.Helper()
	var b strings.Builder
	room, not := "", formats(t)
	for _, c := range constBounds(t) {
		if key := c.room + "." + c.name; not[key] {
			delete(not, key)
			continue
		}
		if found++; c.words == "" {
			t.Errorf("%s: %s bounds something, and no comment says what; or it belongs into %s", c.at, c.name, formatsFile)
		}
		if c.room != room {
			room = c.room
			fmt.Fprintf(&b, "\n### %s\n\n| bound | is | what it limits |\n|---|---|---|\n", room)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, c.value, c.words)
	}
	for key := range not {
		t.Errorf("%s: %s is no constant that looks like a bound any more", formatsFile, key)
	}
	return b.String(), found
}

// A length of time is written out nowhere but in a constant and in the defaults of a package: what
// bounds something has a name. A day is a unit.
func TestNoBoundIsWrittenOut(t *testing.T) {
	free := []string{"hijack/replay", "store/conformance", "nexthop/token/tenant"} // figures of a simulation, and tests
	for _, s := range sources(t) {
		if slices.Contains(free, s.room) || strings.HasSuffix(s.room, "test") {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil || strings.HasPrefix(f.Name.Name, "Default") {
				continue
			}
			ast.Inspect(f.Body, func(n ast.Node) bool {
				e, ok := n.(*ast.BinaryExpr)
				if !ok || e.Op != token.MUL {
					return true
				}
				_, literal := e.X.(*ast.BasicLit)
				if of, name := called(e.Y); literal && of == "time" && text(s, e) != "24 * time.Hour" && text(s, e) != "24*time.Hour" && name != "" {
					t.Errorf("%s: %s is written out: give it a name", s.at(n), text(s, e))
				}
				return true
			})
		}
	}
}
