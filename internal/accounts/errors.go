package accounts

import (
	"context"
	"errors"

	"sallyport/internal/mail"
)

// What a sign-in can fail with. Test with errors.Is; Reply has the answer to give.
var (
	// ErrBadCredentials: wrong password, no such account, frozen, another
	// authorization identity, a broken channel binding. They are not told apart
	// to the client.
	ErrBadCredentials = errors.New("accounts: the credentials are not valid")
	// ErrOtherIdentity: a certificate was to sign in as another than the account it belongs to.
	ErrOtherIdentity = errors.New("accounts: the certificate is another account's")
	// ErrBusy: the hashing work is at its bound.
	ErrBusy = errors.New("accounts: too many sign-ins at once")
	// ErrTooMany: too many failed sign-ins of this account or network.
	ErrTooMany = errors.New("accounts: too many failed sign-ins")
	// ErrMalformed: the response is not what the mechanism prescribes.
	ErrMalformed = errors.New("accounts: the response is malformed")
	// ErrCancelled: the client or the server ended the exchange before its end.
	ErrCancelled = errors.New("accounts: the exchange was cancelled")
	// ErrMechanism: the mechanism is not offered.
	ErrMechanism = errors.New("accounts: the mechanism is not offered")
	// ErrElsewhere: the directory that has the password did not tell.
	ErrElsewhere = errors.New("accounts: the directory did not tell")
	// ErrMustChange: the password is right, and opens nothing until it was changed.
	ErrMustChange = errors.New("accounts: the password must be changed first")
	// ErrToken: the access token is not good, or not that of the user who was named.
	ErrToken = errors.New("accounts: the access token is not valid")
	// ErrClear: the connection is not encrypted.
	ErrClear = errors.New("accounts: signing in needs TLS")
)

// What a change of an account can fail with, besides the errors of the store.
var (
	ErrExists   = errors.New("accounts: the account exists already")
	ErrNoSuch   = errors.New("accounts: there is no such account")
	ErrPassword = errors.New("accounts: the password is not acceptable")
	ErrInvalid  = errors.New("accounts: the request is not valid")
	ErrFull     = errors.New("accounts: there are as many accounts as the limit allows")
)

// TakenError says what of a new credential belongs to another already. errors.Is finds ErrExists in it.
type TakenError struct {
	Kind Kind   // of the other
	ID   string // of the other; "": it may be another account's
	Name string // that both are to have; "": it is the key, which signs in as Account
	// Account is whose key it is; "" for a name.
	Account string
}

// Error says what is taken.
func (e *TakenError) Error() string {
	if e.Name == "" {
		return "accounts: this key signs in as " + e.Account + " already"
	}
	article := "a "
	if e.Kind == KindApp {
		article = "an "
	}
	return "accounts: there is " + article + e.Kind.String() + " of this name already: " + mail.Printable(e.Name, mail.ValueShown) + " (" + e.ID + ")"
}

// Unwrap makes errors.Is find ErrExists.
func (e *TakenError) Unwrap() error { return ErrExists }

// Rule names what decided a sign-in.
type Rule string

const (
	RuleNone        Rule = ""                    // undecided: refuses
	RuleSignedIn    Rule = "signin-ok"           // the password or the proof was right
	RuleBadPassword Rule = "signin-bad-password" // it was wrong
	RuleNoAccount   Rule = "signin-no-account"   // no account has this address
	RuleNoAddress   Rule = "signin-no-address"   // the user name is no full address
	RuleNotActive   Rule = "signin-not-active"   // the account is frozen or its record unreadable
	RuleChanged     Rule = "signin-changed"      // the account was changed during the exchange
	RuleAuthzid     Rule = "signin-authzid"      // another authorization identity was asked for
	RuleDowngrade   Rule = "signin-downgrade"    // the client was kept from seeing channel binding
	RuleBinding     Rule = "signin-binding"      // the channel binding is another connection's
	RuleMalformed   Rule = "signin-malformed"    // the response is not in the mechanism's grammar
	RuleMechanism   Rule = "signin-mechanism"    // the mechanism is not offered
	RuleClear       Rule = "signin-clear"        // the connection is not encrypted
	RuleBusy        Rule = "signin-busy"         // hashing is at its bound
	RuleUnavailable Rule = "signin-unavailable"  // the store or chance failed
	RulePolicy      Rule = "signin-policy"       // the account does not sign in with such a credential
	RuleScope       Rule = "signin-scope"        // the credential is for something else
	RuleNetwork     Rule = "signin-network"      // the credential may not be used from there
	RuleExpired     Rule = "signin-expired"      // the credential's time is over
	RuleRevoked     Rule = "signin-revoked"      // the account's password was revoked
	RuleCertificate Rule = "signin-certificate"  // the client's certificate is missing, or good for nothing
	RuleElsewhere   Rule = "signin-directory"    // the directory that has the password did not tell
	RuleMustChange  Rule = "signin-must-change"  // the directory wants the password changed first
	RuleCancelled   Rule = "signin-cancelled"    // the exchange was ended early
	RuleToken       Rule = "signin-token"        // the access token counts for nothing
	RuleProvider    Rule = "signin-provider"     // the OpenID provider did not tell
	RuleNotOfIt     Rule = "signin-token-other"  // the access token is somebody else's
	// RuleRefusedElsewhere: the directory lets nobody in with any password: the entry is locked, say.
	RuleRefusedElsewhere Rule = "signin-directory-refuses"
	// RuleSilent: the directory does not let the account send.
	RuleSilent Rule = "signin-may-not-send"
)

// SignInError is why a sign-in failed, for the trace: it never holds a password
// and is never shown to the client, who sees Reply.
type SignInError struct {
	Err  error // one of the sentinels above
	Rule Rule
	Why  string // the evidence in words, printable
}

// Error returns one line for the log.
func (e *SignInError) Error() string { return e.Err.Error() + ": " + string(e.Rule) + ": " + e.Why }

// Unwrap makes errors.Is find the sentinel.
func (e *SignInError) Unwrap() error { return e.Err }

func fail(err error, rule Rule, why string) error {
	return &SignInError{Err: err, Rule: rule, Why: why}
}

// cancelled turns the end of a context into an error of an exchange.
func cancelled(ctx context.Context) error {
	return fail(ErrCancelled, RuleCancelled, "the session ended: "+context.Cause(ctx).Error())
}

// Reply returns the answer to AUTH that an outcome deserves: 235 for nil, and for
// any error that is not of this package a temporary failure.
// RFC 4954 §4 and §6.
func Reply(err error) mail.Reply {
	switch {
	case err == nil:
		return mail.R(235, "2.7.0", "signed in")
	case errors.Is(err, ErrOtherIdentity):
		return mail.R(535, "5.7.8",
			"this certificate belongs to another account than the user name says; set no user name, or the account's full address")
	case errors.Is(err, ErrBadCredentials):
		return mail.R(535, "5.7.8", "user name or password not valid; the user name is your full address")
	case errors.Is(err, ErrToken):
		return mail.R(535, "5.7.8", "the access token is not valid for this account")
	case errors.Is(err, ErrMustChange):
		return mail.R(535, "5.7.8", "your password has to be changed first, where you change it for everything else")
	case errors.Is(err, ErrTooMany):
		return mail.R(454, "4.7.0", "too many failed sign-ins, try again later")
	case errors.Is(err, ErrBusy):
		return mail.R(454, "4.7.0", "too many sign-ins at once, try again later")
	case errors.Is(err, ErrMalformed):
		return mail.R(501, "5.5.2", "malformed authentication response")
	case errors.Is(err, ErrCancelled):
		return mail.R(501, "5.7.0", "authentication cancelled")
	case errors.Is(err, ErrMechanism):
		return mail.R(504, "5.5.4", "authentication mechanism not offered")
	case errors.Is(err, ErrClear):
		return mail.R(538, "5.7.11", "authentication needs TLS")
	}
	return mail.R(454, "4.7.0", "temporary authentication failure")
}
