package mail

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Class is the first digit of a reply. The zero Class is no reply.
type Class uint8

const (
	ClassNone         Class = 0
	ClassSuccess      Class = 2
	ClassIntermediate Class = 3
	ClassTransient    Class = 4 // try again later
	ClassPermanent    Class = 5
)

// Enhanced is an enhanced status code of RFC 3463. The zero value is none.
type Enhanced struct{ Class, Subject, Detail uint16 }

// String returns "5.7.1", or "" for none.
func (e Enhanced) String() string {
	if e.Class == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e.Class, e.Subject, e.Detail)
}

// mostEnhancedDigits is how many digits a part of an enhanced code may have. RFC 3463 §2.
const mostEnhancedDigits = 3

// ParseEnhanced reads "5.7.1" at the start of s, followed by a space or the end,
// and returns the rest. ok is false when there is none.
func ParseEnhanced(s string) (e Enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(s, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		return Enhanced{}, s, false
	}
	var n [3]uint16
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil || len(p) > mostEnhancedDigits {
			return Enhanced{}, s, false
		}
		n[i] = uint16(v)
	}
	if n[0] != 2 && n[0] != 4 && n[0] != 5 {
		return Enhanced{}, s, false
	}
	return Enhanced{n[0], n[1], n[2]}, rest, true
}

// Reply is the only outcome type of SMTP here: what we answer, and what a remote
// answered us. Text may hold several lines parted by "\n"; it never holds CR.
// The zero Reply is no reply, and counts as a failure wherever it is judged.
type Reply struct {
	Code     int      `json:"code"`
	Enhanced Enhanced `json:"enhanced,omitzero"`
	Text     string   `json:"text"`
}

// R makes a reply from its code, its enhanced code ("" for none) and its text.
// A malformed enhanced code is dropped.
func R(code int, enhanced, text string) Reply {
	e, _, _ := ParseEnhanced(enhanced)
	return Reply{Code: code, Enhanced: e, Text: text}
}

// Class returns the class of the reply; ClassNone for anything out of range.
func (r Reply) Class() Class {
	switch {
	case r.Code >= 200 && r.Code < 300:
		return ClassSuccess
	case r.Code >= 300 && r.Code < 400:
		return ClassIntermediate
	case r.Code >= 400 && r.Code < 500:
		return ClassTransient
	case r.Code >= 500 && r.Code < 600:
		return ClassPermanent
	}
	return ClassNone
}

// OK reports whether the reply is a success.
func (r Reply) OK() bool { return r.Class() == ClassSuccess }

// What the parts of enhanced codes mean, RFC 3463 §3, and a code that tells of space alone where there is none
// beside it, RFC 5321 §4.2.3.
const (
	subjectMailbox  = 2
	detailFull      = 2
	detailTooLong   = 3
	subjectSystem   = 3
	subjectProtocol = 5
	subjectContent  = 6
	subjectPolicy   = 7
	codeNoSpace     = 552
)

// OfRecipient reports of a refusal whether it may mean that there is no such recipient. What a server has against us, as when
// we are on a blocklist, against the message or its size, and that a mailbox is full, it may say of anybody. A code that
// tells nothing more may mean it.
func (r Reply) OfRecipient() bool {
	switch e := r.Enhanced; {
	case e == Enhanced{}:
		return r.Code != codeNoSpace
	case e.Subject == subjectMailbox:
		return e.Detail != detailFull && e.Detail != detailTooLong
	default:
		return !slices.Contains([]uint16{subjectSystem, subjectProtocol, subjectContent, subjectPolicy}, e.Subject)
	}
}

// IsZero reports whether there is no reply.
func (r Reply) IsZero() bool { return r == Reply{} }

// String returns the reply in one line for logs and facts.
func (r Reply) String() string {
	text := strings.ReplaceAll(r.Text, "\n", " / ")
	if e := r.Enhanced.String(); e != "" {
		text = e + " " + text
	}
	return strconv.Itoa(r.Code) + " " + text
}
