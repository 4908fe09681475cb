package ldap

import (
	"errors"
	"fmt"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/mail"
)

// Step is what a directory was asked for when something failed.
type Step string

// The steps, in the order in which they are taken.
const (
	StepConnect  Step = "connect"
	StepTLS      Step = "TLS"
	StepBind     Step = "bind"
	StepBase     Step = "base"
	StepSearch   Step = "search"
	StepPassword Step = "password"
)

// Failure says that a directory did not answer, or not with what was asked for. Nothing
// follows from it about a person or a password.
type Failure struct {
	Server string
	Step   Step
	Code   int // of RFC 4511 appendix A.1; -1: there was no such answer
	Err    error
}

// Error returns one line.
func (f *Failure) Error() string {
	if f.Code >= 0 {
		return fmt.Sprintf("%s: %s: result %d (%s): %s", f.Server, f.Step, f.Code, codeName(f.Code), mail.ShownLine(f.Err.Error(), mail.FaultShown))
	}
	return fmt.Sprintf("%s: %s: %s", f.Server, f.Step, mail.ShownLine(f.Err.Error(), mail.FaultShown))
}

// Unwrap returns what the library said.
func (f *Failure) Unwrap() error { return f.Err }

// Errors of a directory that answered.
var (
	// ErrNobody: no entry has the address.
	ErrNobody = errors.New("no entry has this address")
	// ErrSeveral: more than one entry has it, so that nobody can tell whose it is.
	ErrSeveral = errors.New("several entries have this address")
	// ErrUnclear: of the entry with the address nobody can tell whether it is a person's.
	ErrUnclear = errors.New("the entry with this address is passed over")
	// ErrBusy: too many questions wait already, or waited for too long.
	ErrBusy = errors.New("too many questions wait for the directory")
	// ErrTooMany: a list has more entries than Limits allow.
	ErrTooMany = errors.New("there are more entries than the limit allows")
	// ErrTooLarge: the names and addresses of a list are more than Limits allow.
	ErrTooLarge = errors.New("the names and addresses of the list have more octets than the limit allows")
	// ErrClosed: the directory is not asked any more.
	ErrClosed = errors.New("the directory is closed")
)

// codeName is the name of a result in RFC 4511.
func codeName(code int) string {
	if name, ok := wire.LDAPResultCodeMap[uint16(code)]; ok && code >= 0 && code < 1<<16 {
		return name
	}
	return "unknown"
}

// failed makes a Failure of what the library returned; nil stays nil.
func failed(s Server, step Step, err error) error {
	if err == nil {
		return nil
	}
	f := &Failure{Server: s.String(), Step: step, Code: -1, Err: err}
	var known *wire.Error
	// From 200 on the codes are the library's own.
	if errors.As(err, &known) && known.ResultCode < wire.ErrorNetwork {
		f.Code, f.Err = int(known.ResultCode), known.Err
	}
	return f
}

// The results by which a server says that it is not well, whoever is asked about. RFC 4511 appendix A.1
const (
	resultOperations  = 1
	resultBusy        = 51
	resultUnavailable = 52
	resultOther       = 80
)

// unwell reports whether a question failed by a fault of the server that was asked, so that another one may do better. What is
// said of a password may be about its entry: that it is disabled (53) or locked (19), say.
func unwell(err error) bool {
	var f *Failure
	if !errors.As(err, &f) {
		return false
	}
	switch f.Code {
	case -1, resultOperations, resultBusy, resultUnavailable, resultOther:
		return true
	}
	return f.Step != StepPassword
}

// OfOne reports whether an error says something of one entry alone: about others a directory may be asked as ever.
func OfOne(err error) bool {
	return errors.Is(err, ErrSeveral) || errors.Is(err, ErrUnclear) || codeOf(err) >= 0 && !unwell(err)
}

// codeOf returns the code of an answer of the directory; -1: err is none.
func codeOf(err error) int {
	var f *Failure
	if errors.As(err, &f) {
		return f.Code
	}
	return -1
}
