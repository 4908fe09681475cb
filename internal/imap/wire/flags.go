package wire

import "strings"

// The system flags, in the letters of RFC 9051 §2.3.2: some programs know no others.
const (
	FlagAnswered = `\Answered`
	FlagFlagged  = `\Flagged`
	FlagDeleted  = `\Deleted`
	FlagSeen     = `\Seen`
	FlagDraft    = `\Draft`
	FlagRecent   = `\Recent`
)

// SystemFlags are those that a client may set.
func SystemFlags() []string {
	return []string{FlagAnswered, FlagFlagged, FlagDeleted, FlagSeen, FlagDraft}
}

// flag takes a flag that a client may set. RFC 9051 §9.
func (s *scanner) flag() string {
	if !s.accept('\\') {
		return s.atom()
	}
	name := `\` + s.atom()
	for _, f := range SystemFlags() {
		if strings.EqualFold(f, name) {
			return f
		}
	}
	s.fail("no such system flag, or none that a client sets")
	return ""
}

// flagList takes flags in parentheses.
func (s *scanner) flagList() (out []string) {
	s.list(func() { out = append(out, s.flag()) })
	return out
}

// flags takes flags with or without parentheses, as STORE has them.
func (s *scanner) flags() (out []string) {
	if s.peek() == '(' {
		return s.flagList()
	}
	for s.ok() {
		if out = append(out, s.flag()); len(out) > s.limits.Items {
			s.fail("too many flags")
		}
		if s.atEnd() || !s.accept(' ') || s.atEnd() {
			break
		}
	}
	return out
}
