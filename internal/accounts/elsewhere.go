package accounts

import (
	"context"
	"errors"

	"sallyport/internal/mail"
)

// Elsewhere knows the passwords of accounts that come from directories.
type Elsewhere interface {
	// Of returns the directory that the accounts of a domain come from; "": they are ours.
	Of(mail.Domain) string
	// Password asks a directory about a password of an account. An error means that nobody
	// can tell.
	Password(ctx context.Context, directory string, a mail.Address, password string) (Said, error)
	// Feign takes as long as Password took of late for a wrong password at a directory, and
	// returns an error where Password would. It asks the directory nothing about anybody.
	Feign(ctx context.Context, directory string) error
}

// Said is what a directory says of a password. The zero Said is that it is wrong.
type Said struct {
	Right bool
	// Refused: it was not judged, or is right and opens nothing.
	Refused bool
	// Proved: it is right; beside Refused, it opens nothing until its owner has changed it.
	Proved bool
	Why    string // in words, for the trace
}

// errNoDirectory: the account's directory is none of this configuration.
var errNoDirectory = errors.New("accounts: the directory of the account is not that of its domain")

// away is the answer where a directory did not tell. Nothing was guessed.
func away(err error) error {
	return fail(ErrElsewhere, RuleElsewhere, mail.ShownLine(err.Error(), mail.FaultShown))
}

// ask lets the directory of the domain judge a password, or feigns that: for a name that it
// does not have, for an account of ours and for one that no password opens. So all names of
// one domain take the same time and fail alike, and a flood of names that the directory lacks
// does not reach it.
func (i *Identity) ask(ctx context.Context, t trial) (Said, error) {
	of := i.directoryOf(t.domain)
	a := t.account
	if a != nil && a.Source.Directory != "" && a.Source.Directory != of {
		return Said{}, away(errNoDirectory)
	}
	if of == "" {
		return Said{}, nil
	}
	if a == nil || a.Source.Directory == "" || t.refusal != nil {
		if err := i.o.Elsewhere.Feign(ctx, of); err != nil {
			return Said{}, away(err)
		}
		return Said{}, nil
	}
	said, err := i.o.Elsewhere.Password(ctx, of, a.Address, t.typed)
	if err != nil {
		return Said{}, away(err)
	}
	return said, nil
}

func (i *Identity) directoryOf(d mail.Domain) string {
	if i.o.Elsewhere == nil {
		return ""
	}
	return i.o.Elsewhere.Of(d)
}

// kept reports whether the account's password is kept here.
func (r *record) kept() bool { return r == nil || r.Source.Directory == "" }

// unopened is the answer to a password that its directory did not turn down as wrong and that
// opens nothing all the same. That it must be changed is told to whoever has it alone.
func unopened(s Said) error {
	if s.Proved {
		return fail(ErrMustChange, RuleMustChange, s.Why)
	}
	return fail(ErrBadCredentials, RuleRefusedElsewhere, s.Why)
}
