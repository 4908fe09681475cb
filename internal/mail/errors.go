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
	return fmt.Sprintf("%s %s: %s", e.What, Printable(e.Text, wrongShown), e.Reason)
}

func syntaxError(what, text, reason string) error {
	return &SyntaxError{What: what, Text: text, Reason: reason}
}

// What a line of ours shows of a text that others wrote, in octets: for Printable, PlainLine and ShownLine, and whoever else cuts
// one. Each is as long as what stands there rightly is, so that a longer one is seen to be wrong, and no line grows with what a
// stranger sends.
const (
	WordShown    = 40                 // octets of one word: of a kind, a mechanism, a flag, an identifier
	NameShown    = 60                 // octets of the name of a field or file, or of the line in which one was looked for
	ValueShown   = 80                 // octets of a value that was given: of a term, a name of a credential
	PieceShown   = 100                // octets of a part of what is told: of a library's word about an answer, a fault in a field
	TextShown    = 200                // octets of what a person, a program or a library says
	FaultShown   = 300                // octets of a fault that names a host, what was asked and what came of it
	AddressShown = MaxPathOctets + 64 // octets of an address, or of a user name that may be one: of any path, and room to see that there was more
	ReplyShown   = 400                // octets of a reply of several lines, or of a key of the store
)

// wrongShown is how many octets of a text a SyntaxError shows: of most names all, and of an address what tells which it was.
const wrongShown = 120

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
