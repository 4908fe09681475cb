package server

import (
	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// counts is what a session has cost so far.
type counts struct {
	errors, deferrals      int // replies 5xx, 4xx
	junk                   int // since the last accepted message
	unknown                int
	authFailures           int
	transactions, accepted int
}

// exceeded says which limit leaves no room for another command, or "".
func (n counts) exceeded(l *Limits) (end, text string) {
	switch {
	case n.errors >= l.Errors, n.deferrals >= l.Deferrals:
		return EndErrors, "too many errors"
	case n.unknown >= l.Unknown:
		return EndUnknown, "too many unknown commands"
	case n.authFailures >= l.AuthFailures:
		return EndAuthFailures, "too many failed sign-ins"
	}
	return "", ""
}

// after counts the reply to a command.
func (n counts) after(r mail.Reply) counts {
	switch r.Class() {
	case mail.ClassPermanent:
		n.errors++
	case mail.ClassTransient:
		n.deferrals++
	}
	return n
}

// isJunk reports whether a command carries no mail forward.
func isJunk(c smtpwire.Command) bool {
	switch c.Verb {
	case smtpwire.VerbNOOP, smtpwire.VerbRSET, smtpwire.VerbVRFY, smtpwire.VerbEXPN,
		smtpwire.VerbHELP, smtpwire.VerbEHLO, smtpwire.VerbHELO:
		return true
	case smtpwire.VerbBDAT:
		return c.Chunk.Size == 0 && !c.Chunk.Last
	}
	return false
}
