package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
)

// invalidCredentials is the one result that says that a password is wrong. RFC 4511 §A.1.
const invalidCredentials = 49

// Word is what a directory says of a password. The zero Word says nothing.
type Word uint8

const (
	WordNone       Word = iota
	WordRight           // it is the person's, and may be used
	WordWrong           // it is not
	WordExpired         // it is, and its time is over
	WordMustChange      // it is, and must be changed before it opens anything
	WordLocked          // the directory lets nobody in with any password for now
	WordClosed          // the person may not sign in at all, says the directory
)

// Answer is a Word with what goes with it.
type Answer struct {
	Word Word
	// Grace is how many more times an expired password may be used; -1: it is not expired. Each
	// question uses up one.
	Grace int
	Why   string // in words, for the trace
}

// CheckPassword asks whether a password is that of the entry of a name. An error means that
// nobody can tell: the password is neither right nor wrong.
func (d *Directory) CheckPassword(ctx context.Context, who terms.DN, password string) (a Answer, err error) {
	if who.IsZero() || password == "" {
		// Either would be nobody's bind, which succeeds. RFC 4513 §5.1.1, §5.1.2
		return Answer{}, errors.New("ldap: neither a name nor a password may be empty")
	}
	err = d.passwords.with(ctx, func(ctx context.Context, c *conn) error {
		request := wire.NewSimpleBindRequest(who.String(), password, []wire.Control{wire.NewControlBeheraPasswordPolicy()})
		var result *wire.SimpleBindResult
		err := d.ask(ctx, c, StepPassword, func() (err error) {
			result, err = c.SimpleBind(request)
			return err
		})
		a = judge(result, err)
		return err
	})
	if a.Word != WordNone {
		return a, nil
	}
	if err == nil {
		err = errors.New("ldap: the directory said nothing of the password")
	}
	return Answer{}, err
}

// The errors of draft-behera-ldap-password-policy-10 §6.2 that a bind is answered with.
const (
	policyExpired = 0
	policyLocked  = 1
	policyReset   = 2
)

// judge makes a Word of what came back; WordNone where nobody can tell.
func judge(r *wire.SimpleBindResult, err error) Answer {
	policy := wire.NewControlBeheraPasswordPolicy()
	if r != nil {
		if found, ok := wire.FindControl(r.Controls, wire.ControlTypeBeheraPasswordPolicy).(*wire.ControlBeheraPasswordPolicy); ok {
			policy = found
		}
	}
	code := codeOf(err)
	switch {
	case err == nil && policy.Error == policyReset:
		return Answer{WordMustChange, -1, "the password must be changed in the directory first"}
	case err == nil && policy.Grace >= 0:
		return Answer{WordRight, int(policy.Grace), fmt.Sprintf("the password has expired, and may be used %d more times", policy.Grace)}
	case err == nil:
		return Answer{WordRight, -1, ""}
	case code != invalidCredentials:
		return Answer{}
	case policy.Error == policyExpired:
		return Answer{WordExpired, -1, "the password has expired in the directory"}
	case policy.Error == policyReset:
		return Answer{WordMustChange, -1, "the password must be changed in the directory first"}
	case policy.Error == policyLocked:
		return Answer{WordLocked, -1, "the directory has locked the entry"}
	}
	return subcode(err)
}

// subcode reads what Active Directory says beside result 49: the numbers are errors of Windows.
// Whoever says nothing of the kind says that the password is wrong.
func subcode(err error) Answer {
	text := ""
	var f *Failure
	if errors.As(err, &f) && f.Err != nil {
		text = f.Err.Error()
	}
	_, rest, _ := strings.Cut(text, ", data ")
	data, _, _ := strings.Cut(rest, ",")
	said := "; the directory said " + mail.ShownLine(text, mail.TextShown)
	switch strings.ToLower(data) {
	case "532": // ERROR_PASSWORD_EXPIRED
		return Answer{WordExpired, -1, "the password has expired in the directory" + said}
	case "773": // ERROR_PASSWORD_MUST_CHANGE
		return Answer{WordMustChange, -1, "the password must be changed in the directory first" + said}
	case "775": // ERROR_ACCOUNT_LOCKED_OUT
		return Answer{WordLocked, -1, "the directory has locked the entry" + said}
	case "530", "531", "533", "701": // hours, workstation, disabled, account expired
		return Answer{WordClosed, -1, "the directory lets this person in nowhere or not now" + said}
	}
	return Answer{WordWrong, -1, "wrong password"}
}
