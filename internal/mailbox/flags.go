package mailbox

import (
	"slices"
	"strings"
)

// UID names a message within a folder for as long as the folder has the same UIDValidity.
// RFC 9051 §2.3.1.1.
type UID uint32

// ModSeq counts the changes of a folder. RFC 7162 §3.1.
type ModSeq uint64

// System is a set of the flags that every folder has. RFC 9051 §2.3.2.
type System uint8

// The system flags. Recent is none of them: whose it is says Mailbox.Recent.
const (
	Seen System = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
)

// letters are those of the Maildir convention, in the order of their octets.
const letters = "DFRST"

var ofLetter = [...]System{Draft, Flagged, Answered, Seen, Deleted}

// Flags is what is noted of a message: system flags and keywords. It is a value that never
// changes, and two of them are compared with ==.
type Flags struct {
	System System
	words  string // keywords in order, each ended by a space
}

// NewFlags returns the flags with the keywords. A keyword is an atom (RFC 9051 §9); whoever calls
// has checked that. Keywords are the same whatever their case is, and the first form stays.
func NewFlags(system System, keywords ...string) Flags {
	kept := make([]string, 0, len(keywords))
	for _, k := range keywords {
		if k == "" || slices.ContainsFunc(kept, func(o string) bool { return strings.EqualFold(o, k) }) {
			continue
		}
		kept = append(kept, canonical(k))
	}
	slices.SortFunc(kept, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	f := Flags{System: system}
	if len(kept) > 0 {
		f.words = strings.Join(kept, " ") + " "
	}
	return f
}

// canonical returns the registered form of a keyword that clients compare octet by octet.
// RFC 9051 §2.3.2 and the registry of IMAP keywords.
func canonical(k string) string {
	for _, known := range []string{"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$SubmitPending", "$Submitted"} {
		if strings.EqualFold(k, known) {
			return known
		}
	}
	return k
}

// Forwarded is the keyword that stands in file names, as the letter P.
const Forwarded = "$Forwarded"

// Has reports whether all the system flags are set.
func (f Flags) Has(s System) bool { return f.System&s == s }

// Keywords returns the keywords, in order.
func (f Flags) Keywords() []string {
	if f.words == "" {
		return nil // as of most messages
	}
	return strings.Fields(f.words)
}

// HasKeyword reports whether a keyword is set, whatever its case.
func (f Flags) HasKeyword(k string) bool {
	for w := range strings.FieldsSeq(f.words) {
		if strings.EqualFold(w, k) {
			return true
		}
	}
	return false
}

// With returns the flags of both.
func (f Flags) With(o Flags) Flags {
	if o.words == "" {
		return Flags{f.System | o.System, f.words}
	}
	return NewFlags(f.System|o.System, append(f.Keywords(), o.Keywords()...)...)
}

// Without returns the flags that are not in o.
func (f Flags) Without(o Flags) Flags {
	if o.words == "" || f.words == "" {
		return Flags{f.System &^ o.System, f.words}
	}
	return NewFlags(f.System&^o.System, slices.DeleteFunc(f.Keywords(), o.HasKeyword)...)
}

// Op is what Store does with flags.
type Op uint8

// What Store does.
const (
	Replace Op = iota + 1
	Add
	Remove
)

func (o Op) apply(have, flags Flags) Flags {
	switch o {
	case Add:
		return have.With(flags)
	case Remove:
		return have.Without(flags)
	}
	return flags
}
