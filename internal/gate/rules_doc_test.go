package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const rulesFile = "../../docs/rules.md"

const rulesHead = `# Rules of the gate

Who may hand in mail for whom: each verdict names one of these rules, in the trace and in the log. Rewritten by
` + "`go test ./internal/gate -update`" + `; a test compares. Rules of the header (` + "`author-…`, `sender-field-…`, `resent-…`" + `) are
package bind's, those of sign-ins (` + "`signin-…`" + `) package accounts', and ` + "`protocol`" + ` is what the SMTP engine refused by itself.

| rule | does | answers | means |
|---|---|---|---|
`

const elsewhereHead = `
## Rules beside the gate

What else refuses a message, defers it, puts it into the junk folder or keeps it in the queue, by the package that
decides. They never let in what the gate refuses. A test compares the names with the code; what they mean for whoever is
on call stands in [operations.md](operations.md).

| rule | of | does | means |
|---|---|---|---|
`

// elsewhere are the rules of others that decide about messages.
var elsewhere = [...]struct{ rule, room, does, words string }{
	{"recipients-hour", "budget", "451", "The account has written to as many recipients as it may within an hour."},
	{"recipients-day", "budget", "451", "The same within a day."},
	{"forward-budget", "dispatch", "waits", "A forward sent so much to one target that the rest leaves later; nothing is bounced for it."},
	{"undeliverable-stranger", "dispatch", "held", "A message from outside failed for good, and nobody may be told."},
	{"undeliverable-unverified", "dispatch", "held", "The same, of a message that an account sent, whose sender is not known to be its own any more."},
	{"refused-behind", "directory", "as it said", "The server behind a domain of ours refuses the recipient for good."},
	{"unverified", "directory", "451", "The server behind was not asked, or does not answer, and it is not known whether it takes the recipient."},
	{"cut-through-alone", "intake", "452", "A recipient whose server is asked at the end of data comes in a transaction of his own."},
	{"cut-through-refused", "intake", "as it said", "The server behind refused the message at the end of data."},
	{"cut-through-deferred", "intake", "as it said", "It put the message off."},
	{"message-international", "intake", "550, 451", "The server behind takes no addresses beyond ASCII, and the message has some; or it cannot be asked whether it does."},
	{"inspection-crowded", "intake", "451", "As many messages are being looked at as there is room for."},
	{"mail-loop", "intake", "554", "The message came by here, or anywhere, too many times."},
	{"header-too-large", "intake", "552", "The header section is larger than its bound."},
	{"header-line-ending", "intake", "554", "A bare CR, a bare LF or a NUL stands in the header."},
	{"sender-not-asked-about", "filter/sender", "451", "We had no room to ask the DNS about the sender, or no name server of ours that answers; what a policy would say is not known."},
	{"dmarc-reject", "filter/sender", "550", "The author's domain refuses mail for which neither SPF nor DKIM speaks."},
	{"dmarc-quarantine", "filter/sender", "junk", "The author's domain wants it kept apart, or would refuse it if we were sure that it is meant."},
	{"own-domain-unsigned", "filter/sender", "550, junk", "It names an author of ours, came from outside, and bears no signature of ours."},
	{"own-domain-unverified", "filter/sender", "451", "It bears one, whose key cannot be asked for now."},
	{"authors-too-many", "filter/sender", "junk", "It names more authors than their policies can be asked for."},
	{"author-unreadable", "filter/sender", "junk", "It names no author that can be told."},
	{"bounce-forged", "filter", "550, junk", "It returns a message that was never sent from here."},
	{"bounce-unreadable", "filter", "451", "What it returns could not be read for a reason of ours."},
	{"bounce-not-looked-up", "filter", "451", "Whether that was sent from here could not be looked up."},
}

// Every rule that is told beside the gate's is one that its package has.
func TestRulesElsewhereAreThere(t *testing.T) {
	for _, r := range elsewhere {
		files, err := filepath.Glob("../" + r.room + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || !strings.HasSuffix(f, "_test.go") && strings.Contains(string(text), `"`+r.rule+`"`)
		}
		if !found {
			t.Errorf("package %s has no rule %s", r.room, r.rule)
		}
	}
}

func TestEveryRuleIsDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(rulesHead)
	for _, r := range Rules() {
		if r.Words == "" {
			t.Errorf("%s has no words", r.Rule)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.Rule, r.Action, r.Reply, r.Words)
	}
	b.WriteString(elsewhereHead)
	for _, r := range elsewhere {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.rule, r.room, r.does, r.words)
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
