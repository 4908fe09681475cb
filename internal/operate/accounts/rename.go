package accounts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"sallyport/internal/accounts"
	"sallyport/internal/directory/book"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/incidents"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Mailboxes are where mail of accounts is kept.
type Mailboxes interface {
	Rename(from, to mail.Address, act func() error) error
}

// AccountRename asks for another address of an account.
type AccountRename struct {
	Address string `json:"address"`
	To      string `json:"to"`
	// KeepAlias: mail for the old address still comes, by an alias.
	KeepAlias bool `json:"keep_alias,omitempty"`
}

// AccountRename gives an account another address, in one act: its credentials, what it may send
// and has sent, whom it corresponds with, its forward, its contact, its rights, and what leads
// to it come along, and its mailbox follows. An account that is frozen, has an open incident, a
// held queue or a message of its own in the queue keeps its address, and so does one that the
// configuration names. Its sessions end. Whoever gets the old address later inherits nothing.
func (op *Actions) AccountRename(ctx context.Context, by call.Caller, r AccountRename) (Account, error) {
	from, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	to, err := call.ParseAccount(r.To)
	if err != nil {
		return Account{}, err
	}
	changing := op.o.Book.Changing()
	changing.Lock()
	defer changing.Unlock()
	account, err := op.o.Accounts.Get(from)
	if err != nil {
		return Account{}, err
	}
	if account.Standing != accounts.StandingActive { // the act asks it once more
		return Account{}, call.Refused(fmt.Sprintf("%s is %s (%s), and only an active account is renamed; see: sallyport account show %s", account.Address, account.Standing, account.FrozenReason, account.Address))
	}
	renaming := book.Renaming{From: account.Address, To: to, Detail: op.o.Book.Stated().Config.Detail}
	if err := op.mayRename(renaming); err != nil {
		return Account{}, err
	}
	if _, err := op.o.Accounts.Get(to); err != nil {
		if err := op.orphan(ctx, by, to); err != nil {
			return Account{}, err
		}
	}
	var renamed accounts.Account
	moveErr := op.o.Mailboxes.Rename(renaming.From, to, func() (err error) {
		renamed, err = op.o.Accounts.Rename(ctx, renaming.From, to, op.renameFacts(by, renaming), op.renamePlans(by, renaming, r.KeepAlias)...)
		return err
	})
	if renamed.Address.IsZero() {
		return Account{}, renameRefused(moveErr, renaming.From)
	}
	if moveErr == nil {
		moveErr = op.o.Accounts.Moved(ctx, renaming.From)
	} else {
		moveErr = fmt.Errorf("the account is renamed, but %w; it is tried again at the next start", moveErr)
	}
	v := op.view(renamed)
	v.SessionsEnded = op.endSessions(renaming.From)
	return v, errors.Join(moveErr, op.o.Book.Publish(ctx))
}

// mayRename says why an account keeps its address, before anything is tried.
func (op *Actions) mayRename(r book.Renaming) error {
	if op.o.Naming != nil {
		if named := op.o.Naming(r.Names); len(named) > 0 {
			lines := []string{fmt.Sprintf("the configuration names %s; change it there first, to another account, and reload:", r.From)}
			return call.Refused(strings.Join(append(lines, named...), "\n"))
		}
	}
	if r.Replaces(op.o.Book.Entries()) {
		return nil // the alias goes with the act
	}
	if err := op.o.Book.Snapshot().CheckAccount(r.To); err != nil {
		return call.Invalid(fmt.Errorf("%s: %w", r.To, err))
	}
	return nil
}

// renamePlans are the shares of all other rooms.
func (op *Actions) renamePlans(by call.Caller, r book.Renaming, keepAlias bool) []store.Planner {
	plans := []store.Planner{op.o.Queue.Vacating(r.From), op.o.Keeper.Log.NoneOpen(r.From), op.o.Book.Planned(op.o.Domains.RightsRenamed(by, r, keepAlias))}
	if op.o.Renaming != nil {
		plans = append(plans, op.o.Renaming(r.From, r.To)...)
	}
	return plans
}

// renameFacts are found by either address.
func (op *Actions) renameFacts(by call.Caller, r book.Renaming) [][]byte {
	return fact.EncodeAll(
		call.AccountChanged(op.o.Now(), by, r.From, "renamed to "+r.To.String()),
		call.AccountChanged(op.o.Now(), by, r.To, "renamed from "+r.From.String()))
}

// renameRefused says what is in the way of a rename, and how to be rid of it.
func renameRefused(err error, a mail.Address) error {
	switch {
	case errors.Is(err, spool.ErrQueued):
		return call.Refused(fmt.Sprintf("%s has messages of its own in the queue; rename it when they have left: sallyport queue ls --account %s", a, a))
	case errors.Is(err, spool.ErrHeld):
		return call.Refused(fmt.Sprintf("the queue of %s is held; see: sallyport account show %s", a, a))
	case errors.Is(err, fs.ErrExist):
		return call.Exists(call.Words(err))
	case errors.Is(err, incident.ErrOpen):
		return call.Refused(call.Words(err) + "; end it first: sallyport incident ls")
	}
	return err
}

// formerly adds to an account what it was called before, and what is known of it under those
// names.
func (op *Actions) formerly(ctx context.Context, by call.Caller, v Account, a mail.Address) (Account, error) {
	for _, n := range slices.Backward(op.o.Accounts.Names(a)) {
		v.FormerNames = append(v.FormerNames, FormerName{n.Address.String(), n.Until})
		if v.LastSignIn == nil {
			last, err := op.o.Sessions.LastSignIn(ctx, n.Address.String())
			if err != nil {
				return v, err
			}
			if last != nil && last.At.Before(n.Until) {
				v.LastSignIn = last
			}
		}
		err := op.o.Incidents.IncidentList(ctx, by, incidents.IncidentSelect{Account: n.Address.String(), Limit: maxIncidents}, func(i incident.Incident) error {
			if i.At.Before(n.Until) && !i.At.Before(v.Created) {
				v.Incidents = append(v.Incidents, i)
			}
			return nil
		})
		if err != nil {
			return v, err
		}
	}
	return v, nil
}
