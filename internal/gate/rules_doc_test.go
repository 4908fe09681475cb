package gate

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const rulesFile = "../../docs/rules.md"

const rulesHead = `# Rules of the gate

Who may hand in mail for whom: each verdict names one of these rules, in the trace and in the log. Rewritten by
` + "`go test ./internal/gate -update`" + `; a test compares. Rules of the header (` + "`author-…`, `sender-field-…`, `resent-…`" + `) are
package bind's, those of sign-ins (` + "`signin-…`" + `) package identity's, and ` + "`protocol`" + ` is what the SMTP engine refused by itself.

| rule | does | answers | means |
|---|---|---|---|
`

func TestEveryRuleIsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(rulesHead)
	for _, r := range Rules() {
		if r.Words == "" {
			t.Errorf("%s has no words", r.Rule)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Rule, r.Action, r.Reply, r.Words)
	}
	if *update {
		if err := os.WriteFile(rulesFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/rules.md is behind the code: run go test ./internal/gate -update and read the difference")
	}
}
