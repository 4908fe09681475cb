package accounts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/guess"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/incidents"
	"sallyport/internal/operate/mailboxes"
	"sallyport/internal/operate/sessions"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Account is an account as operators see it.
type Account struct {
	Address         string    `json:"address"`
	Standing        string    `json:"standing"`
	ReadsOn         bool      `json:"reads_on,omitempty"` // though it is frozen
	FrozenReason    string    `json:"frozen_reason,omitempty"`
	Role            string    `json:"role"`
	Created         time.Time `json:"created"`
	PasswordChanged time.Time `json:"password_changed"`
	SignIn          string    `json:"sign_in"`              // with what: "any", "password", "app"
	QueueHeld       string    `json:"queue_held,omitempty"` // why its queue is held
	// Directory is the directory that the account comes from, and DN its name there; "": it is
	// ours. MayNotSend: so the directory says.
	Directory  string `json:"directory,omitempty"`
	DN         string `json:"dn,omitempty"`
	MayNotSend bool   `json:"may_not_send,omitempty"`
	// SendsAs and ForwardsTo are told by AccountShow alone.
	SendsAs       []string `json:"sends_as,omitempty"`    // by delegates
	ForwardsTo    []string `json:"forwards_to,omitempty"` // addresses that are not ours
	ForwardKeeps  bool     `json:"forward_keeps,omitempty"`
	ForwardAsleep bool     `json:"forward_asleep,omitempty"`
	SessionsEnded int      `json:"sessions_ended,omitempty"`
	KeptBack      int      `json:"kept_back,omitempty"` // messages that stay held one by one, told by AccountThaw
	Incident      uint64   `json:"incident,omitempty"`  // the one that began with a freeze
	// Incidents, the latest first, and Story, of the last days, are told by AccountShow.
	Incidents []incident.Incident `json:"incidents,omitempty"`
	Story     *incident.Story     `json:"story,omitempty"`
	// Recipients and Notify, the address outside at which its owner is told, are told by
	// AccountShow and AccountSet.
	Recipients *Allowance `json:"recipients,omitempty"`
	Notify     string     `json:"notify,omitempty"`
	// Without are the extensions of IMAP that its programs are not offered.
	Without []string `json:"without,omitempty"`
	// Mailbox is told by AccountShow and AccountSet.
	Mailbox *mailboxes.Room `json:"mailbox,omitempty"`
	// LastSignIn and Sessions are told by AccountShow alone: the last sign-in that the trace
	// still has, and what is open.
	LastSignIn *sessions.LastSignIn `json:"last_sign_in,omitempty"`
	Sessions   []sessions.Session   `json:"sessions,omitempty"`
	// Guessed is told by AccountShow: what was tried of late by whoever guesses its password.
	Guessed *guess.Report `json:"guessed,omitempty"`
	// NamedBy is told by AccountShow and AccountRemove: the aliases that lead to the
	// account.
	NamedBy []string `json:"named_by,omitempty"`
	// FormerNames, the latest first, are told by AccountShow.
	FormerNames []FormerName `json:"former_names,omitempty"`
}

// FormerName is an address that an account had before it was renamed.
type FormerName struct {
	Address string    `json:"address"`
	Until   time.Time `json:"until"`
}

// AccountAdd asks for a new account.
type AccountAdd struct {
	Address  string `json:"address"`
	Password string `json:"password"`
	Role     string `json:"role"` // "person" or "bulk"
	// The most recipients of its own; 0: its role's.
	RecipientsHour int `json:"recipients_hour,omitempty"`
	RecipientsDay  int `json:"recipients_day,omitempty"`
}

// AccountPassword asks for another password.
type AccountPassword struct {
	Address  string `json:"address"`
	Password string `json:"password"`
	// Elsewhere: there is none to set; the one that the account's directory knows is taken again,
	// after it was revoked here and changed there.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// AccountReason names an account and why something is done to it.
type AccountReason struct {
	Address string `json:"address"`
	Reason  string `json:"reason,omitempty"`
	// Quiet: the owner is not told, neither of the freeze nor of its end.
	Quiet bool `json:"quiet,omitempty"`
}

// AccountAdd makes an active account. When it returns, mail for the account is
// accepted.
func (op *Actions) AccountAdd(ctx context.Context, by call.Caller, r AccountAdd) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	role, err := accounts.ParseRole(r.Role)
	if err != nil {
		return Account{}, call.Invalid(err)
	}
	changing := op.o.Book.Changing()
	changing.Lock()
	defer changing.Unlock()
	if err := op.o.Book.Snapshot().CheckAccount(a); err != nil {
		return Account{}, call.Invalid(fmt.Errorf("%s: %w", a, err))
	}
	sending := accounts.Sending{Role: role, RecipientsHour: r.RecipientsHour, RecipientsDay: r.RecipientsDay}
	if err := sending.Validate(); err != nil {
		return Account{}, call.Invalid(err)
	}
	var with []store.Planner
	if _, err := op.o.Accounts.Get(a); err != nil {
		if err := op.orphan(ctx, by, a); err != nil {
			return Account{}, err
		}
		with = op.dropped(by, a)
	}
	account, err := op.o.Accounts.Add(ctx, a, r.Password, sending, fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "added", sendingPairs(sending)...)), with...)
	if err != nil {
		return Account{}, err
	}
	return op.view(account), op.o.Book.Publish(ctx)
}

// AccountPassword replaces a password; it ends the live sessions that were opened with the
// old one. Those of app passwords go on.
func (op *Actions) AccountPassword(ctx context.Context, by call.Caller, r AccountPassword) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	told := fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "password changed"))
	var account accounts.Account
	if r.Elsewhere {
		account, err = op.o.Accounts.TrustPassword(ctx, a, told)
	} else {
		account, err = op.o.Accounts.SetPassword(ctx, a, r.Password, told)
	}
	if err != nil {
		return Account{}, err
	}
	v := op.view(account)
	v.SessionsEnded = op.endSessions(a)
	return v, nil
}

// AccountFreeze stops an account, in one act: it cannot sign in, what it has in the queue
// is held, and an incident begins. Then its sessions end. Mail for it is still delivered.
func (op *Actions) AccountFreeze(ctx context.Context, by call.Caller, r AccountReason) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	if r.Reason == "" {
		r.Reason = incident.NoReason
	}
	raised, account, ended, err := op.o.Keeper.Contain(ctx, incident.Incident{
		Account: a, Rule: fact.RuleOperator, By: by.Name(), Reason: r.Reason, Quiet: r.Quiet,
	}, call.DoneBy(by, call.Because(r.Reason))...)
	if err != nil {
		return Account{}, err
	}
	v := op.view(account)
	v.SessionsEnded, v.Incident = ended, raised.Number
	return v, nil
}

// AccountThaw lets a frozen account act again, releases its queue, and ends its incident,
// in one act. What was set aside is due afterwards; repeating it is harmless, and completes
// that. An incident that evidence began needs another password first, and ends as by its release:
// nobody said which of what the account has in the queue is its owner's, so that all of it stays
// held, message by message.
func (op *Actions) AccountThaw(ctx context.Context, by call.Caller, r call.AccountRef) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	open, is, err := op.o.Keeper.Log.Open(ctx, a)
	if err != nil {
		return Account{}, err
	}
	if is && open.Rule != incident.RuleOperator {
		return op.released(ctx, by, open)
	}
	of, account, err := op.o.Keeper.Free(ctx, a, incident.StateReleased, by.Name(), "thawed", false, call.DoneBy(by)...)
	if err != nil {
		return Account{}, incidents.MayNotEnd(of, err)
	}
	return op.view(account), nil
}

// released ends an incident that evidence began, with nothing of what it holds.
func (op *Actions) released(ctx context.Context, by call.Caller, i incident.Incident) (Account, error) {
	end, err := op.o.Incidents.IncidentRelease(ctx, by, incidents.IncidentRelease{Number: i.Number, Reason: "thawed"})
	if err != nil {
		return Account{}, err
	}
	account, err := op.o.Accounts.Get(i.Account)
	v := op.view(account)
	v.KeptBack = end.Held
	return v, err
}

// AccountRemove removes an account, its forward, its rights to send as others and
// those of others to send as it, and holds its queue, in one act. Its mailbox stays on
// disk. Then what it has in the queue is held message by message, since nobody answers
// for it any more: an account of the same name that is added later does not set it free.
// Repeating it completes that.
func (op *Actions) AccountRemove(ctx context.Context, by call.Caller, r call.AccountRef) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	changing := op.o.Book.Changing()
	changing.Lock()
	defer changing.Unlock()
	account, err := op.o.Accounts.Get(a)
	if err != nil {
		return Account{}, errors.Join(err, op.orphan(ctx, by, a))
	}
	if account.Source.Directory != "" && !account.Source.Absent && account.Source.AlsoIn == "" {
		return Account{}, call.Invalid(fmt.Errorf("the directory %s lists %s, which would be back with its next list, and thawed; freeze it, or remove it there first", account.Source.Directory, a))
	}
	with := append(op.dropped(by, a), op.o.Queue.Holding(a, reasonRemoved), op.o.Keeper.Dropping(a, call.DoneBy(by)...))
	if err := op.o.Accounts.Remove(ctx, a, fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "removed")), with...); err != nil {
		return Account{}, err
	}
	v := op.view(account)
	v.SessionsEnded, v.NamedBy = op.endSessions(a), op.o.Book.NamedBy(a)
	return v, errors.Join(op.orphan(ctx, by, a), op.o.Book.Publish(ctx))
}

// reasonRemoved is why the queue of an account that is gone is held, and then each of its
// messages.
const reasonRemoved = "its account was removed"

// orphan holds each message that a removed account has in the queue, and then forgets the
// hold of its queue as a whole, which an account of the same name would take over.
func (op *Actions) orphan(ctx context.Context, by call.Caller, a mail.Address) error {
	if _, held := op.o.Queue.AccountHeld(a); !held {
		return nil
	}
	f := fact.Held{At: op.o.Now(), Rule: fact.RuleOperator, Message: fact.Message{Account: a.String()}, Reason: "the removed account's queue", Evidence: call.DoneBy(by)}.Fact()
	if _, err := op.o.Queue.Hold(ctx, spool.Filter{Account: a}, reasonRemoved, fact.EncodeAll(f)); err != nil {
		return fmt.Errorf("the account is removed and its queue held, but its messages are not held one by one yet; repeat the command: %w", err)
	}
	return op.o.Queue.ReleaseAccount(ctx, a)
}

// AccountShow returns one account, with what it did of late.
func (op *Actions) AccountShow(ctx context.Context, by call.Caller, r call.AccountRef) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	account, err := op.o.Accounts.Get(a)
	if err != nil {
		return Account{}, err
	}
	v := op.shown(account)
	v.Mailbox = op.o.Boxes.MailboxRoom(ctx, a, mailboxes.Own(account.QuotaOctets, account.QuotaMessages))
	v.NamedBy, v.Guessed = op.o.Book.NamedBy(a), op.guessed(a)
	v.SendsAs = op.o.Domains.SendsAs(a)
	if f := op.o.Domains.ForwardOf(a); f != nil {
		v.ForwardsTo, v.ForwardKeeps, v.ForwardAsleep = f.Targets, f.Keep, f.Asleep
	}
	if v.Sessions, err = op.o.Sessions.SessionsOf(a.String()); err != nil {
		return Account{}, err
	}
	if v.LastSignIn, err = op.o.Sessions.LastSignIn(ctx, a.String()); err != nil {
		return Account{}, err
	}
	if v, err = op.withStory(ctx, by, v, a); err != nil {
		return v, err
	}
	return op.formerly(ctx, by, v, a)
}

// storyTime is how far back the story of an account goes that a person asks for.
const storyTime = 7 * 24 * time.Hour

// withStory adds what an account did of late, and its incidents.
func (op *Actions) withStory(ctx context.Context, by call.Caller, v Account, a mail.Address) (Account, error) {
	since, named := op.o.Now().Add(-storyTime), v.Created
	if before := op.o.Accounts.Names(a); len(before) > 0 {
		named = before[len(before)-1].Until
	}
	// Before the account was made, its address was somebody else's.
	story, err := op.o.Incidents.Story(ctx, Known{op.o.Accounts}.Names(a), incidents.Later(since, v.Created))
	if err != nil {
		return v, err
	}
	v.Story = &story
	return v, op.o.Incidents.IncidentList(ctx, by, incidents.IncidentSelect{Account: a.String(), Limit: maxIncidents}, func(i incident.Incident) error {
		if !i.At.Before(named) { // else it is of somebody who had the address before
			v.Incidents = append(v.Incidents, i)
		}
		return nil
	})
}

// maxIncidents is how many incidents of an account are told with it.
const maxIncidents = 50

// AccountList calls fn for each account in the order of addresses.
func (op *Actions) AccountList(ctx context.Context, _ call.Caller, _ struct{}, fn func(Account) error) error {
	all, err := op.o.Accounts.List(ctx)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := fn(op.view(a)); err != nil {
			return err
		}
	}
	return nil
}

func (op *Actions) view(a accounts.Account) Account {
	held, _ := op.o.Queue.AccountHeld(a.Address)
	return Account{
		Address: a.Address.String(), Standing: a.Standing.String(), ReadsOn: a.ReadsOn, FrozenReason: a.FrozenReason, Role: a.Role.String(),
		Created: a.Created, PasswordChanged: a.PasswordChanged, SignIn: a.SignIn.String(), QueueHeld: held,
		Directory: a.Source.Directory, DN: a.Source.DN, MayNotSend: !a.Sends(),
	}
}

func (op *Actions) endSessions(a mail.Address) int {
	return op.o.EndSessions(a)
}
