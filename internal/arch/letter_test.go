package arch

import (
	"go/ast"
	"slices"
	"testing"
)

// One room makes the messages that enter the queue, and asks the gate about them. The
// proof asks it about every class of addresses, which is no message.
func TestOneRoomMakesQueuedMail(t *testing.T) {
	rules := []struct {
		room, name string
		but        []string
	}{
		{"gate", "Decide", []string{"letter", "directory/proof", "directory/explain"}},
		{"gate", "DecideMail", []string{"letter", "directory/proof", "directory/explain"}},
		{"gate", "Join", []string{"letter"}},
		{"gate", "DoorNotice", []string{"letter/notify", "directory/proof"}},
		{"spool", "Message", []string{"letter"}},
	}
	found := map[string]bool{}
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			from, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			for _, r := range rules {
				if from.Name != r.room || sel.Sel.Name != r.name {
					continue
				}
				found[r.room+"."+r.name] = true
				if !slices.Contains(r.but, s.room) {
					t.Errorf("%s: only %v may use %s.%s", s.fset.Position(n.Pos()), r.but, r.room, r.name)
				}
			}
			return true
		})
		if s.room == "letter" || s.room == "spool" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.CompositeLit); ok && len(lit.Elts) > 0 {
				if sel, ok := lit.Type.(*ast.SelectorExpr); ok && slices.Contains([]string{"Delivery", "Spawned"}, sel.Sel.Name) {
					t.Errorf("%s: only letter makes a %s of the queue", s.fset.Position(n.Pos()), sel.Sel.Name)
				}
			}
			return true
		})
	}
	for _, r := range rules {
		if !found[r.room+"."+r.name] {
			t.Errorf("nobody uses %s.%s: the test looks for the wrong name", r.room, r.name)
		}
	}
}
