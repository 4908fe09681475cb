package sendmail

import (
	"fmt"

	"sallyport/internal/mail"
)

// Code is an exit code of sysexits(3), which the callers of sendmail(1) know.
type Code int

const (
	CodeOK          Code = 0
	CodeUsage       Code = 64 // the command line makes no sense
	CodeData        Code = 65 // the message cannot be sent as it is
	CodeNoUser      Code = 67 // no such recipient
	CodeNoHost      Code = 68 // no such domain
	CodeUnavailable Code = 69 // refused for another reason
	CodeSoftware    Code = 70 // a fault of ours
	CodeIO          Code = 74 // the message could not be read
	CodeTempFail    Code = 75 // try again later; nothing was accepted
	CodeNoPerm      Code = 77 // this user may not do that
)

// Error is a failure with its exit code.
type Error struct {
	Code Code
	Text string
	lost bool // the connection is no more
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

func fail(c Code, format string, a ...any) *Error {
	return &Error{Code: c, Text: fmt.Sprintf(format, a...)}
}

// codeOf is the exit code of a refusal, by the enhanced code of RFC 3463.
func codeOf(r mail.Reply) Code {
	if r.Code == 452 && r.Enhanced.Subject == 5 && r.Enhanced.Detail == 3 {
		return CodeUnavailable // too many recipients, which a later try would have as well
	}
	if r.Class() != mail.ClassPermanent {
		return CodeTempFail
	}
	switch e := r.Enhanced; {
	case e.Subject == 1 && (e.Detail == 1 || e.Detail == 6): // 5.1.1 unknown, 5.1.6 moved
		return CodeNoUser
	case e.Subject == 1 && (e.Detail == 2 || e.Detail == 10), e.Subject == 4: // no such system, null MX, routing
		return CodeNoHost
	case e.Subject == 1, e.Subject == 6: // an address's syntax, the content
		return CodeData
	case e.Subject == 7:
		return CodeNoPerm
	}
	return CodeUnavailable
}
