package accounts

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/directory/book"
	"sallyport/internal/guess"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/domains"
	"sallyport/internal/operate/incidents"
	"sallyport/internal/operate/mailboxes"
	"sallyport/internal/operate/sessions"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Accounts is what Actions need of package accounts.
type Accounts interface {
	Add(ctx context.Context, a mail.Address, password string, s accounts.Sending, facts [][]byte, with ...store.Planner) (accounts.Account, error)
	SetPassword(ctx context.Context, a mail.Address, password string, facts [][]byte) (accounts.Account, error)
	TrustPassword(ctx context.Context, a mail.Address, facts [][]byte) (accounts.Account, error)
	SetPolicy(ctx context.Context, a mail.Address, p accounts.Policy, alone bool, facts [][]byte) (accounts.Account, error)
	SetWithout(ctx context.Context, a mail.Address, names string, facts [][]byte) (accounts.Account, error)
	SetSending(ctx context.Context, a mail.Address, s accounts.Sending, facts [][]byte) (accounts.Account, error)
	SetQuota(ctx context.Context, a mail.Address, octets, messages int64, facts [][]byte) (accounts.Account, error)
	Remove(ctx context.Context, a mail.Address, facts [][]byte, with ...store.Planner) error
	Rename(ctx context.Context, from, to mail.Address, facts [][]byte, with ...store.Planner) (accounts.Account, error)
	Moved(ctx context.Context, from mail.Address) error
	Names(a mail.Address) []accounts.FormerName
	Holder(a mail.Address, at time.Time) mail.Address
	Get(a mail.Address) (accounts.Account, error)
	List(ctx context.Context) ([]accounts.Account, error)
}

// Queue is what Actions need of package spool.
type Queue interface {
	Hold(ctx context.Context, f spool.Filter, reason string, facts [][]byte) (int, error)
	Holding(account mail.Address, reason string) store.Planner
	Vacating(account mail.Address) store.Planner
	ReleaseAccount(ctx context.Context, account mail.Address, facts ...[]byte) error
	AccountHeld(account mail.Address) (reason string, held bool)
}

// Findings is what Actions need of package bind/review.
type Findings interface {
	Dropping(account mail.Address) store.Planner
}

// Guesses is what Actions need to know of who is being guessed at.
type Guesses interface {
	GuessedAt(mail.Address) (guess.Report, bool)
	AllGuessedAt(most int) (first []guess.Report, of int)
}

// Guessed is what was tried at one account.
type Guessed = guess.Report

// Allowing says how many recipients an account may have.
type Allowing = func(accounts.Account) budget.Limits

// Renaming plans what other rooms keep of an account under its address.
type Renaming = func(from, to mail.Address) []store.Planner

// Naming returns what the configuration says of an address, each with where it stands.
type Naming = func(meant func(mail.Address) bool) []string

// EndSessions ends those live sessions of an account whose sign-in gives no right any
// more, and says how many.
type EndSessions = func(account mail.Address) int

// NoSessions ends none, where there are none.
func NoSessions(mail.Address) int { return 0 }

// Options are what Actions act on. All are needed but those that say otherwise.
type Options struct {
	Accounts Accounts
	Guesses  Guesses // knows whose passwords are being guessed; nil: nobody does
	Queue    Queue
	Book     *book.Book
	Keeper   incident.Keeper // contains accounts and sets them free
	Findings Findings
	// Mailboxes keep mail.
	Mailboxes Mailboxes
	Renaming  Renaming // nil: nothing else is kept
	Naming    Naming   // nil: there is no configuration
	// Watch is told what of accounts is changed, and whom they wrote to before; nil: nobody is.
	Watch Watcher
	// Ledger counts recipients, and Allowance says how many an account may have.
	Ledger      Ledger
	Allowance   Allowing
	EndSessions EndSessions
	Now         func() time.Time

	// Other topics, of which accounts are told.
	Domains   *domains.Actions
	Incidents *incidents.Actions
	Boxes     *mailboxes.Actions
	Sessions  *sessions.Actions
}

// Actions are what an operator can do with accounts.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Explain says what kind of failure an error of accounts is; nil: it is none of theirs.
func Explain(err error) *call.Error {
	switch {
	case errors.Is(err, accounts.ErrNoSuch):
		return call.Of(call.CodeNotFound, err)
	case errors.Is(err, accounts.ErrExists):
		return call.Of(call.CodeExists, err)
	case errors.Is(err, accounts.ErrInvalid), errors.Is(err, accounts.ErrPassword), errors.Is(err, accounts.ErrFull):
		return call.Of(call.CodeInvalid, err)
	}
	return nil
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Answer(routes, "account.add", op.AccountAdd)
	call.Answer(routes, "account.passwd", op.AccountPassword)
	call.Answer(routes, "account.set", op.AccountSet)
	call.Answer(routes, "account.signin", op.AccountSignIn)
	call.Answer(routes, "account.freeze", op.AccountFreeze)
	call.Answer(routes, "account.thaw", op.AccountThaw)
	call.Answer(routes, "account.rm", op.AccountRemove)
	call.Answer(routes, "account.rename", op.AccountRename)
	call.Answer(routes, "account.show", op.AccountShow)
	call.Listing(routes, "account.ls", op.AccountList)
	call.Answer(routes, "learn", op.Learn)
}

// AccountsCounted are accounts in figures.
type AccountsCounted struct {
	All, Frozen int
	Capped      []Capped // those that may write to nobody more for now
}

// AccountsCounted counts the accounts.
func (op *Actions) AccountsCounted(ctx context.Context) (c AccountsCounted, err error) {
	all, err := op.o.Accounts.List(ctx)
	if err != nil {
		return c, err
	}
	c.All, c.Capped = len(all), op.cappedOf(all)
	for _, a := range all {
		if a.Standing != accounts.StandingActive && a.Standing != accounts.StandingUnlisted {
			c.Frozen++
		}
	}
	return c, nil
}

// maxGuessed is how many accounts the status names, of those that are being guessed at.
const maxGuessed = 100

// guessed returns what was tried at an account; nil: nobody guesses there.
func (op *Actions) guessed(a mail.Address) *Guessed {
	if op.o.Guesses == nil {
		return nil
	}
	if r, ok := op.o.Guesses.GuessedAt(a); ok {
		return &r
	}
	return nil
}

// AccountsGuessed are the first of the accounts that somebody guesses at, and how many there are.
func (op *Actions) AccountsGuessed() (first []Guessed, of int) {
	if op.o.Guesses == nil {
		return nil, 0
	}
	return op.o.Guesses.AllGuessedAt(maxGuessed)
}

// Reaches tells who watches accounts that one reaches others from now on, by whosever wish.
func Reaches(w Watcher) func(ctx context.Context, account mail.Address, what string) {
	if w == nil {
		return nil
	}
	return w.Changed
}

// Gone tells who watches accounts that an address of ours leads to nobody any more.
func Gone(w Watcher) func(context.Context, mail.Address) {
	if w == nil {
		return nil
	}
	return w.Gone
}

// Replaced plans what ends with the person who had the address of an account before, where its directory gave it to another one: all
// that does where an account is removed. The caller holds the book's Changing.
func (op *Actions) Replaced(a mail.Address) []store.Planner { return op.dropped(call.Self(), a) }

// dropped plans to take away what belongs to an account that goes or comes, and to forget what is known of it.
func (op *Actions) dropped(by call.Caller, a mail.Address) []store.Planner {
	plans := []store.Planner{op.o.Findings.Dropping(a)}
	if c, any := op.o.Domains.RightsDropped(by, a); any {
		plans = append(plans, op.o.Book.Planned(c))
	}
	if op.o.Watch != nil {
		plans = append(plans, op.o.Watch.Dropping(a))
	}
	return plans
}
