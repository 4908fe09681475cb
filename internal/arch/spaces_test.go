package arch

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/store"
)

// The space of a key is named by the room that it was handed out to and by nobody else, so
// that no room can write into another's; and who writes keys has one.
func TestRoomsKeepToTheirSpaces(t *testing.T) {
	owner := map[string]string{} // room by the name of the constant
	room := map[string]string{}
	for _, o := range store.Spaces() {
		room[string(o.Space)] = o.Room
	}
	all := sources(t)
	for _, s := range all {
		if s.path == "internal/store/space.go" {
			constants(s.file, func(name string, value ast.Expr) {
				if lit, ok := value.(*ast.BasicLit); ok && strings.HasPrefix(name, "Space") {
					owner[name] = room[strings.Trim(lit.Value, `"`)]
				}
			})
		}
	}
	if len(owner) != len(store.Spaces()) {
		t.Fatalf("%d constants for %d spaces", len(owner), len(store.Spaces()))
	}
	named, writes := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		if strings.HasPrefix(s.room, "store") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			x, name := selected(n)
			switch {
			case x != "store":
			case name == "Mutation":
				writes[s.room] = true
			case name == "Space" && converts(s.file, n):
				t.Errorf("%s: a space is made here; package store hands them out", s.at(n))
			case owner[name] != "":
				named[name] = true
				if s.room != owner[name] {
					t.Errorf("%s: %s belongs to %s", s.at(n), name, owner[name])
				}
			}
			return true
		})
	}
	for name, of := range owner {
		if !named[name] {
			t.Errorf("%s does not use its %s", of, name)
		}
		delete(writes, of)
	}
	for of := range writes {
		// Who only passes on what others made names no key.
		if of != "intake" && of != "dispatch" && of != "letter" && of != "letter/notify" && of != "operate" && of != "reports/daily" && of != "node" {
			t.Errorf("%s makes mutations and has no space", of)
		}
	}
	for _, s := range all {
		if owns(s.room) && !strings.HasPrefix(s.room, "store") {
			constants(s.file, func(name string, value ast.Expr) {
				if lit, ok := value.(*ast.BasicLit); ok && prefix.MatchString(lit.Value) {
					t.Errorf("%s: %s begins keys that no space was handed out for", s.at(value), name)
				}
			})
		}
	}
}

// prefix is what the beginning of a key looks like.
var prefix = regexp.MustCompile(`^"[a-z]{1,12}/([a-z]+/)*"$`)

func owns(room string) bool {
	return slices.ContainsFunc(store.Spaces(), func(o store.Owned) bool { return o.Room == room })
}

// constants calls fn with each constant of a file that has a value.
func constants(f *ast.File, fn func(name string, value ast.Expr)) {
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i < len(v.Values) {
					fn(name.Name, v.Values[i])
				}
			}
		}
	}
}

// selected returns the two words of x.name.
func selected(n ast.Node) (x, name string) {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if id, ok := s.X.(*ast.Ident); ok {
			return id.Name, s.Sel.Name
		}
	}
	return "", ""
}

// converts reports whether n is the function of a call.
func converts(f *ast.File, n ast.Node) (found bool) {
	ast.Inspect(f, func(at ast.Node) bool {
		if call, ok := at.(*ast.CallExpr); ok && call.Fun == n {
			found = true
		}
		return !found
	})
	return found
}
