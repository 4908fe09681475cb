package mail

import (
	"fmt"
	"strconv"
)

// SyntaxError says which text was no value of the vocabulary, and why. The text
// is quoted and shortened, so that the message is safe to log and to show.
type SyntaxError struct {
	What   string // "address", "domain", …
	Text   string // the offending text as it came
	Reason string // in words: "it is empty"
}

// Error describes the fault in one line of printable ASCII.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.What, Printable(e.Text, 120), e.Reason)
}

func syntaxError(what, text, reason string) error {
	return &SyntaxError{What: what, Text: text, Reason: reason}
}

// Printable quotes s as printable ASCII and cuts it to about max octets. Use it
// for every text of a peer that goes into a log, a fact or a reply.
func Printable(s string, max int) string {
	cut := ""
	if len(s) > max {
		s, cut = s[:max], "…"
	}
	q := strconv.QuoteToASCII(s)
	return q[:len(q)-1] + cut + `"`
}
