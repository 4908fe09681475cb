package arch

import (
	"fmt"
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

// Every rule is an exported constant, Rule or RuleX, of the room that it is of, and is named by
// that wherever the code gives it; it stands in docs/rules.md with what it means, and every rule
// there is one that some code gives.
func TestEveryRuleIsDocumented(t *testing.T) {
	known, document := rulesDocument(t)
	found, used := declaredRules(t), usedNames(t)
	functions, structs := rulePlaces(t)
	for _, s := range sources(t) {
		for _, e := range ruleSites(s, functions, structs) {
			if !found[e] {
				t.Errorf("%s: the rule %s is written out: give it a name, an exported constant RuleX of its room", s.at(e), e.Value)
			}
		}
	}
	declared := map[string]string{} // the name of a constant by "room rule"
	for _, s := range sources(t) {
		for name, lit := range ruleConstants(s) {
			rule := strings.Trim(lit.Value, `"`)
			declared[s.room+" "+rule] = name
			if !slices.Contains(known[rule], s.room) {
				t.Errorf("%s: the rule %s of %s is in no document: say in rules.txt what it means", s.at(lit), rule, s.room)
			}
			if !used[s.room+"."+name] {
				t.Errorf("%s: nothing gives the rule %s", s.at(lit), name)
			}
		}
	}
	if len(declared) < 200 {
		t.Errorf("only %d rules found", len(declared))
	}
	for rule, rooms := range known {
		for _, room := range rooms {
			if declared[room+" "+rule] == "" {
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
