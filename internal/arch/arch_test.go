// Package arch holds the shape of the house as a test: who may import whom, which
// packages are pure, and how long files and functions may grow.
package arch

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module          = "sallyport"
	maxFileLines    = 500
	maxFuncLines    = 70
	maxMedianLines  = 14
	ratchetFile     = "ratchet.txt"
	minRoomsChecked = 10
)

type room struct {
	pure    bool
	any     bool
	allowed []string
}

type source struct {
	path string // relative to the project's root
	room string
	file *ast.File
	fset *token.FileSet
}

func TestImportsFollowTheDesign(t *testing.T) {
	rooms := readRooms(t)
	seen := map[string]bool{}
	for _, s := range sources(t) {
		r, ok := rooms[s.room]
		if !ok {
			t.Errorf("%s: room %q is not in dag.txt", s.path, s.room)
			continue
		}
		seen[s.room] = true
		for _, imp := range s.file.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			inner, ours := strings.CutPrefix(path, module+"/")
			if !ours || r.any {
				continue
			}
			inner = strings.TrimPrefix(inner, "internal/")
			if inner != s.room && !slices.Contains(r.allowed, inner) {
				t.Errorf("%s imports %s, which dag.txt does not allow to %s", s.path, inner, s.room)
			}
		}
	}
	if len(seen) < minRoomsChecked {
		t.Errorf("only %d rooms found: the test looks in the wrong place", len(seen))
	}
}

// A pure package takes time, chance and everything else as arguments.
func TestPurePackagesHaveNoSideDoors(t *testing.T) {
	rooms := readRooms(t)
	banned := []string{"os", "net", "net/http", "io/fs", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "sync", "context", "syscall", "unsafe"}
	for _, s := range sources(t) {
		if !rooms[s.room].pure {
			continue
		}
		for _, imp := range s.file.Imports {
			if path := strings.Trim(imp.Path.Value, `"`); slices.Contains(banned, path) {
				t.Errorf("%s: a pure package imports %s", s.path, path)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a pure package starts a goroutine", s.at(n))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}, n.Sel.Name) {
					t.Errorf("%s: a pure package reads the clock", s.at(n))
				}
			}
			return true
		})
	}
}

// No init, no panic, no reflection, no package variable that could change.
func TestNoHiddenState(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			if imp.Path.Value == `"reflect"` || imp.Path.Value == `"unsafe"` {
				t.Errorf("%s imports %s", s.path, imp.Path.Value)
			}
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.Name == "init" && d.Recv == nil {
					t.Errorf("%s: init hides what runs", s.at(d))
				}
			case *ast.GenDecl:
				checkVars(t, s, d)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if f, ok := c.Fun.(*ast.Ident); ok && f.Name == "panic" {
					t.Errorf("%s: panic", s.at(n))
				}
			}
			return true
		})
	}
}

// checkVars admits error sentinels, embedded files and tables written out in
// place; everything else that a package keeps must be given to it.
func checkVars(t *testing.T, s source, d *ast.GenDecl) {
	if d.Tok != token.VAR {
		return
	}
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		if len(v.Names) == 1 && v.Names[0].Name == "_" {
			continue // an interface assertion
		}
		if d.Doc != nil && strings.Contains(directives(d.Doc), "//go:embed") {
			continue
		}
		for i, name := range v.Names {
			if i < len(v.Values) && constant(v.Values[i]) {
				continue
			}
			t.Errorf("%s: package variable %s", s.at(v), name.Name)
		}
		if len(v.Values) == 0 {
			t.Errorf("%s: package variable without a value", s.at(v))
		}
	}
}

func directives(g *ast.CommentGroup) string {
	var b strings.Builder
	for _, c := range g.List {
		b.WriteString(c.Text + "\n")
	}
	return b.String()
}

func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.BasicLit:
		return true
	case *ast.SelectorExpr: // another package's sentinel under our name
		return strings.HasPrefix(e.Sel.Name, "Err")
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		x, ok := f.X.(*ast.Ident)
		return ok && (x.Name == "errors" && f.Sel.Name == "New" || x.Name == "fmt" && f.Sel.Name == "Errorf")
	}
	return false
}

// Only functions and files named in ratchet.txt may be longer than the limits,
// and none of them may grow beyond the length written there.
func TestShape(t *testing.T) {
	allowed := readRatchet(t)
	used := map[string]bool{}
	var lengths []int
	check := func(name string, lines, limit int) {
		if lines <= limit {
			return
		}
		used[name] = true
		if lines > allowed[name] {
			t.Errorf("%s has %d lines; the limit is %d", name, lines, max(limit, allowed[name]))
		}
	}
	for _, s := range sources(t) {
		check(s.path, s.fset.Position(s.file.End()).Line, maxFileLines)
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			lengths = append(lengths, n)
			check(s.path+":"+f.Name.Name, n, maxFuncLines)
		}
	}
	for name := range allowed {
		if !used[name] {
			t.Errorf("%s stands in %s and no longer needs to", name, ratchetFile)
		}
	}
	slices.Sort(lengths)
	median, p99 := lengths[len(lengths)/2], lengths[len(lengths)*99/100]
	t.Logf("%d functions: median %d lines, p99 %d, longest %d", len(lengths), median, p99, lengths[len(lengths)-1])
	if median > maxMedianLines {
		t.Errorf("the median function has %d lines; at most %d", median, maxMedianLines)
	}
}

func (s source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

// sources are the non-test files of internal and cmd. They are parsed once, and nobody changes
// them.
func sources(t *testing.T) []source {
	t.Helper()
	out, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var parsed = sync.OnceValues(func() ([]source, error) {
	root := filepath.Join("..", "..")
	var out []source
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			out = append(out, source{path: rel, room: strings.TrimPrefix(filepath.Dir(rel), "internal/"), file: file, fset: fset})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
})

func readRooms(t *testing.T) map[string]room {
	t.Helper()
	rooms := map[string]room{}
	for _, line := range lines(t, "dag.txt") {
		head, list, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("dag.txt: %q has no colon", line)
		}
		name, pure := strings.CutSuffix(strings.TrimSpace(head), " pure")
		r := room{pure: pure, allowed: strings.Fields(list)}
		r.any = slices.Contains(r.allowed, "*")
		rooms[name] = r
	}
	return rooms
}

func readRatchet(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, line := range lines(t, ratchetFile) {
		var n int
		var name string
		if _, err := fmt.Sscanf(line, "%d %s", &n, &name); err != nil {
			t.Fatalf("%s: %q: %v", ratchetFile, line, err)
		}
		out[name] = n
	}
	return out
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if line := strings.TrimSpace(sc.Text()); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
