package arch

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/gate"
)

const rulesFile = "../../docs/rules.md"

const rulesHead = `# Rules

Whatever decides names the rule by which it did, in the trace and in the log. These are all of them; a test compares the
names with the code. Written by ` + "`go test ./internal/arch -update`" + `.

## Who may hand in mail for whom

The gate's: each verdict about a sender or a recipient names one of these.

| rule | does | answers | means |
|---|---|---|---|
`

const elsewhereHead = `
## Rules of others

What else refuses a message, defers it, puts it into the junk folder, keeps it in the queue, says how it leaves, or tells
what happened, by the package that decides. They never let in what the gate refuses. What they mean for whoever is
on call stands in [operations.md](operations.md).

| rule | of | does | means |
|---|---|---|---|
`

// Every rule that the code names stands in docs/rules.md, and every rule there is one of
// the room that it is said to be of.
func TestEveryRuleIsDocumented(t *testing.T) {
	known, document := rulesDocument(t)
	used := map[string]bool{} // "room rule"
	found := 0
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			for _, e := range rulesAt(n) {
				lit, ok := e.(*ast.BasicLit)
				if !ok || !ruleWord.MatchString(lit.Value) {
					continue
				}
				rule := strings.Trim(lit.Value, `"`)
				found++
				if used[s.room+" "+rule] = true; known[rule] == nil {
					t.Errorf("%s: the rule %s is in no document: say in rules.txt what it means", s.at(e), rule)
				}
			}
			return true
		})
	}
	if found < 150 {
		t.Errorf("only %d rules found", found)
	}
	for rule, rooms := range known {
		for _, room := range rooms {
			if !used[room+" "+rule] && !quoted(t, room, rule) {
				t.Errorf("%s has no rule %s", room, rule)
			}
		}
	}
	if *update {
		if err := os.WriteFile(rulesFile, []byte(document), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, rulesFile) != document {
		t.Error("docs/rules.md is behind the code: run go test ./internal/arch -update and read the difference")
	}
}

// ruleWord is what a rule looks like.
var ruleWord = regexp.MustCompile(`^"[a-z][a-z0-9]*(-[a-z0-9]+)*"$`)

// rulesDocument returns the rooms of each rule that is explained, and the document.
func rulesDocument(t *testing.T) (rooms map[string][]string, text string) {
	t.Helper()
	rooms = map[string][]string{}
	var b strings.Builder
	b.WriteString(rulesHead)
	for _, r := range gate.Rules() {
		rooms[string(r.Rule)] = append(rooms[string(r.Rule)], "gate")
		if r.Words == "" {
			t.Errorf("%s has no words", r.Rule)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Rule, r.Action, r.Reply, r.Words)
	}
	b.WriteString(elsewhereHead)
	for _, line := range lines(t, "rules.txt") {
		c := strings.Split(line, " | ")
		if len(c) != 4 || slices.Contains(c, "") {
			t.Errorf("rules.txt: %q has not four columns", line)
			continue
		}
		if slices.Contains(rooms[c[0]], c[1]) {
			t.Errorf("rules.txt explains %s of %s twice", c[0], c[1])
		}
		rooms[c[0]] = append(rooms[c[0]], c[1])
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c[0], c[1], c[2], c[3])
	}
	return rooms, b.String()
}

// rulesAt returns the expressions at n that name a rule: the value of a constant, field or
// variable of that name, what a refusal or a reload is given, and what is returned with
// a reply.
func rulesAt(n ast.Node) (out []ast.Expr) {
	called := func(name string) bool { return strings.EqualFold(name, "rule") }
	switch n := n.(type) {
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) && (strings.HasPrefix(name.Name, "Rule") || strings.HasPrefix(name.Name, "rule")) {
				out = append(out, n.Values[i])
			}
		}
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && called(k.Name) {
			out = append(out, n.Value)
		}
	case *ast.AssignStmt:
		for i, l := range n.Lhs {
			x, isField := l.(*ast.SelectorExpr)
			id, isName := l.(*ast.Ident)
			if len(n.Lhs) == len(n.Rhs) && (isField && called(x.Sel.Name) || isName && called(id.Name)) {
				out = append(out, n.Rhs[i])
			}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "refuse" || f.Sel.Name == "reloadFact") {
			out = n.Args
		}
	case *ast.ReturnStmt:
		if len(n.Results) == 2 {
			if call, ok := n.Results[1].(*ast.CallExpr); ok {
				if x, name := selected(call.Fun); x == "mail" && name == "R" {
					out = n.Results[:1]
				}
			}
		}
	}
	return out
}

// quoted reports whether the text of a room has the rule somewhere else.
func quoted(t *testing.T, room, rule string) bool {
	t.Helper()
	for _, s := range sources(t) {
		if s.room == room && strings.Contains(read(t, "../../"+s.path), `"`+rule+`"`) {
			return true
		}
	}
	return false
}
