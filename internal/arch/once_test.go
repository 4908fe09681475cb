package arch

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// A file gets its final name in one place, where it is synced before and its folder
// after; the store and the mailboxes have orders of their own, and crash tests that
// hold them to it.
func TestFilesAreRenamedInOnePlace(t *testing.T) {
	rooms := []string{"kit/safefile", "store/pebble", "nexthop/maildir", "mailbox"}
	eachCall(t, func(s source, call *ast.CallExpr, of, name string) {
		onDisk := of == "os" || of == "unix" || of == "syscall" || len(call.Args) == 2
		if (name == "Rename" || name == "Renameat" || name == "Renameat2") && onDisk && !slices.Contains(rooms, s.room) {
			t.Errorf("%s: a file is renamed here; kit/safefile does it and makes it durable", s.at(call))
		}
	})
}

// Whose database it is knows the store, and node with the room that opens it, and that for its
// tests; everybody else sees store.Store and fsys.FS.
func TestOnlyTheStoreKnowsItsDatabase(t *testing.T) {
	found := 0
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			if !strings.Contains(imp.Path.Value, "cockroachdb/") {
				continue
			}
			found++
			if s.room != "node" && s.room != "node/datafolder" && s.room != "node/datafolder/foldertest" && s.room != "store/pebble" {
				t.Errorf("%s imports %s", s.path, imp.Path.Value)
			}
		}
	}
	if found == 0 {
		t.Error("nobody imports the database: the test looks for another")
	}
}

// eachCall calls fn with every call of a method or of another package's function; of
// is what stands before the dot, where that is a name.
func eachCall(t *testing.T, fn func(s source, call *ast.CallExpr, of, name string)) {
	t.Helper()
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); ok {
				of := ""
				if x, ok := f.X.(*ast.Ident); ok {
					of = x.Name
				}
				fn(s, call, of, f.Sel.Name)
			}
			return true
		})
	}
}
