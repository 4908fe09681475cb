package relayaudit

import (
	"regexp"
	"slices"
	"strings"
)

// The rows speak of a server whose mailboxes are known. What follows makes of them what can be
// said to any server without bringing it to deliver anything.

// maxStrangerOctets bounds a script that is said to servers of others: they are asked, not loaded.
const maxStrangerOctets = 1200

// strangerVerbs are the commands that ask without delivering, and change nothing behind.
var strangerVerbs = [...]string{
	"helo", "ehlo", "lhlo", "mail", "rcpt", "rset", "noop", "vrfy", "send", "saml", "xclient", "xforward",
	"proxy",
}

// Asking returns the part of a row that only asks, as one that another server can be asked:
// everything before its first message, with nobody for the mailboxes that the table knows, and
// with the usual sender (Target.Sender) for the stranger's. false: nothing is left that asks for a
// recipient, or it takes more than asking.
func Asking(c Case, nobody string) (Case, bool) {
	if c.State != StateMX || c.Alone || c.Clear || len(c.Script) > maxStrangerOctets {
		return Case{}, false
	}
	var kept []string
	for _, field := range strings.Split(c.Script, stepSeparator) {
		field = strings.TrimSpace(field)
		if strings.HasPrefix(field, "{LOAD}") || strings.HasPrefix(field, "{MSG}") ||
			strings.HasPrefix(field, "DATA") || strings.HasPrefix(field, "{BDAT") {
			break
		}
		kept = append(kept, anonymous(field, nobody))
	}
	c.Script = strings.Join(kept, " "+stepSeparator+" ")
	var err error
	if c.steps, err = parseScript(c.Script); err != nil || !onlyAsks(c.steps) {
		return Case{}, false
	}
	c.Expect = c.Expect.refusals()
	return c, true
}

// anonymous writes a step without the names of the table.
func anonymous(field, nobody string) string {
	field = regexp.MustCompile(`(?i)(\b|\\t)(bob|carol|alice|dave)\b`).ReplaceAllString(field, "${1}"+nobody)
	field = strings.Replace(field, "F:<x@{RD}>", "F:<{FROM}>", 1)
	return strings.Replace(field, "{TX}", "F:<{FROM}>", 1)
}

// refusals are the demands of a row that speak of refusing: that a mailbox is there, or what is
// said after it was taken, cannot be demanded of a server whose mailboxes nobody knows.
func (e Expectation) refusals() Expectation {
	out := Expectation{MayClose: true, Closed: e.Closed}
	for _, w := range e.wants {
		nth := make([][]string, len(w.nth))
		for i, alternatives := range w.nth {
			nth[i] = []string{"2", "4", "5"}
			if !slices.ContainsFunc(alternatives, func(a string) bool { return !strings.HasPrefix(a, "5") }) {
				nth[i] = []string{"5"}
			}
		}
		out.wants = append(out.wants, want{w.name, nth})
	}
	return out
}

// onlyAsks reports whether steps are commands of one line each that ask for a recipient.
func onlyAsks(steps []step) bool {
	asks := false
	for _, st := range steps {
		if st.act != actCommand || st.open || !slices.Contains(strangerVerbs[:], st.name) || splits(st.text) {
			return false
		}
		asks = asks || st.name == "rcpt"
	}
	return asks
}

// splits reports whether a command holds the end of a line: what follows it would be another
// command, which may be any.
func splits(t template) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool {
		return p.name == "CUT" || strings.ContainsAny(p.lit, "\r\n") || splits(p.arg)
	})
}

// At returns the row at another door: the state in which it begins there.
func (c Case) At(s State) Case {
	c.State = s
	return c
}
