package accounts

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/fact"
	imap "sallyport/internal/imap/server"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/mailboxes"
)

// Ledger is what an operator needs of the counts of recipients.
type Ledger interface {
	Use(ledger.Line) budget.Use
	Refused(ledger.Line) time.Time
}

// Allowance is how many recipients an account may write to, and has.
type Allowance struct {
	Used budget.Use    `json:"used"`
	Most budget.Limits `json:"most"`
	// Own is what of Most was set for this account alone; 0: it is its role's.
	Own budget.Limits `json:"own"`
	// Refused is when it was last refused a recipient for want of budget; zero: not
	// since the server started.
	Refused time.Time `json:"refused,omitzero"`
}

// Capped is an account that may write to nobody more for now, or was kept from it within
// the last hour.
type Capped struct {
	Address string `json:"address"`
	Allowance
}

// refusedLately is how long an account that was refused a recipient stands among the
// capped ones.
const refusedLately = time.Hour

// UsedUp reports whether nothing is left of it.
func (a Allowance) UsedUp() bool {
	return a.Used.Hour >= a.Most.Hour || a.Used.Day >= a.Most.Day
}

// capped reports whether an allowance is used up, or was too small lately.
func (a Allowance) capped(now time.Time) bool {
	return a.UsedUp() || !a.Refused.IsZero() && now.Sub(a.Refused) < refusedLately
}

func (op *Actions) allowance(a accounts.Account) Allowance {
	line := ledger.Account(a.Address)
	return Allowance{
		Used: op.o.Ledger.Use(line), Most: op.o.Allowance(a), Refused: op.o.Ledger.Refused(line),
		Own: budget.Limits{Hour: a.RecipientsHour, Day: a.RecipientsDay},
	}
}

// Capped returns the accounts that are capped now.
func (op *Actions) Capped(ctx context.Context) ([]Capped, error) {
	all, err := op.o.Accounts.List(ctx)
	if err != nil {
		return nil, err
	}
	return op.cappedOf(all), nil
}

func (op *Actions) cappedOf(all []accounts.Account) (out []Capped) {
	now := op.o.Now()
	for _, a := range all {
		if v := op.allowance(a); v.capped(now) {
			out = append(out, Capped{a.Address.String(), v})
		}
	}
	return out
}

// AccountSet asks for other limits of what an account sends; nil leaves a limit as it is,
// 0 makes it its role's again.
type AccountSet struct {
	Address        string `json:"address"`
	Role           string `json:"role,omitempty"` // "": as it is
	RecipientsHour *int   `json:"recipients_hour,omitempty"`
	RecipientsDay  *int   `json:"recipients_day,omitempty"`
	// QuotaOctets and QuotaMessages are the most that the mailbox may hold; 0: its domain's;
	// quota.Unbounded: any amount; nil: as it is.
	QuotaOctets   *int64 `json:"quota_octets,omitempty"`
	QuotaMessages *int64 `json:"quota_messages,omitempty"`
	// Notify is the address outside at which the owner is told of incidents; "": none any
	// more; nil: as it is.
	Notify *string `json:"notify,omitempty"`
	// Without are the extensions of IMAP that the account's programs are not offered; none: all are
	// again; nil: as it is.
	Without *[]string `json:"without,omitempty"`
}

func (r AccountSet) sends() bool {
	return r.Role != "" || r.RecipientsHour != nil || r.RecipientsDay != nil
}

func (r AccountSet) holds() bool { return r.QuotaOctets != nil || r.QuotaMessages != nil }

// AccountSet changes what an account may send and hold, at once and without ending its sessions,
// unless its role is another one, where its owner is told of incidents, and which extensions its
// programs are offered, for which its sessions end.
func (op *Actions) AccountSet(ctx context.Context, by call.Caller, r AccountSet) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	if !r.sends() && !r.holds() && r.Notify == nil && r.Without == nil {
		return Account{}, call.Refused("name what to set: --role, --recipients-hour, --recipients-day, --quota, --quota-messages, --notify, --without")
	}
	var without string
	if r.Without != nil {
		if without, err = withoutOf(*r.Without); err != nil {
			return Account{}, call.Invalid(err)
		}
	}
	var contact mail.Address
	if r.Notify != nil {
		// Read before anything changes, so that a mistake in it leaves the rest as it was.
		if contact, err = op.o.Domains.ParseContact(*r.Notify); err != nil {
			return Account{}, err
		}
	}
	if r.holds() {
		if err := op.setQuota(ctx, by, a, r); err != nil {
			return Account{}, err
		}
	}
	ended := 0
	if r.sends() {
		account, err := op.setSending(ctx, by, a, r)
		if err != nil {
			return account, err
		}
		ended = account.SessionsEnded
	}
	if r.Without != nil {
		if _, err := op.o.Accounts.SetWithout(ctx, a, without, fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "extensions changed", fact.Pair{Name: "without", Value: without}))); err != nil {
			return Account{}, err
		}
		ended += op.endSessions(a)
	}
	if r.Notify != nil {
		if err := op.o.Domains.SetContact(ctx, by, a, contact); err != nil {
			return Account{}, err
		}
	}
	account, err := op.o.Accounts.Get(a)
	if err != nil {
		return Account{}, err
	}
	v := op.shown(account)
	v.SessionsEnded, v.Mailbox = ended, op.o.Boxes.MailboxRoom(ctx, a, mailboxes.Own(account.QuotaOctets, account.QuotaMessages))
	return v, nil
}

// withoutOf is what an account keeps of names of extensions, each of which must be one that can be
// switched off.
func withoutOf(names []string) (string, error) {
	var out []string
	for _, name := range names {
		name = strings.ToUpper(strings.TrimSpace(name))
		if !slices.Contains(imap.Removable(), name) {
			return "", fmt.Errorf("%s is no extension that can be switched off; those are %s", mail.Printable(name, mail.WordShown), strings.Join(imap.Removable(), ", "))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return strings.Join(out, ","), nil
}

// setSending changes what an account may send.
func (op *Actions) setSending(ctx context.Context, by call.Caller, a mail.Address, r AccountSet) (Account, error) {
	changing := op.o.Book.Changing()
	changing.Lock()
	defer changing.Unlock()
	old, err := op.o.Accounts.Get(a)
	if err != nil {
		return Account{}, err
	}
	next := accounts.Sending{Role: old.Role, RecipientsHour: old.RecipientsHour, RecipientsDay: old.RecipientsDay}
	if r.Role != "" {
		if next.Role, err = accounts.ParseRole(r.Role); err != nil {
			return Account{}, call.Invalid(err)
		}
	}
	if r.RecipientsHour != nil {
		next.RecipientsHour = *r.RecipientsHour
	}
	if r.RecipientsDay != nil {
		next.RecipientsDay = *r.RecipientsDay
	}
	account, err := op.o.Accounts.SetSending(ctx, a, next, fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "limits changed", sendingPairs(next)...)))
	if err != nil {
		return Account{}, err
	}
	v := op.shown(account)
	if next.Role != old.Role {
		v.SessionsEnded = op.endSessions(a) // they were opened under the former one
	}
	return v, nil
}

// sendingPairs says in a fact what an account may send.
func sendingPairs(s accounts.Sending) []fact.Pair {
	out := []fact.Pair{{Name: "role", Value: s.Role.String()}}
	for _, p := range []struct {
		name string
		n    int
	}{{"recipients an hour", s.RecipientsHour}, {"recipients a day", s.RecipientsDay}} {
		if p.n > 0 {
			out = append(out, fact.Pair{Name: p.name, Value: strconv.Itoa(p.n)})
		}
	}
	return out
}

// shown is an account with what it may send.
func (op *Actions) shown(a accounts.Account) Account {
	v, allowance := op.view(a), op.allowance(a)
	v.Without = strings.FieldsFunc(a.Without, func(r rune) bool { return r == ',' })
	v.Recipients = &allowance
	if c, ok := op.o.Book.Snapshot().Contact(a.Address); ok && !c.Address.IsZero() {
		v.Notify = c.Address.String()
	}
	return v
}

// setQuota changes how much the mailbox of an account may hold.
func (op *Actions) setQuota(ctx context.Context, by call.Caller, a mail.Address, r AccountSet) error {
	old, err := op.o.Accounts.Get(a)
	if err != nil {
		return err
	}
	next := mailboxes.Own(old.QuotaOctets, old.QuotaMessages)
	if r.QuotaOctets != nil {
		next.Octets = *r.QuotaOctets
	}
	if r.QuotaMessages != nil {
		next.Messages = *r.QuotaMessages
	}
	if next.Octets < 0 || next.Messages < 0 {
		return call.Refused("a quota is at least 1; 0 is that of the domain again")
	}
	told := fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "quota changed",
		fact.Pair{Name: "quota octets", Value: mailboxes.QuotaText(next.Octets)}, fact.Pair{Name: "quota messages", Value: mailboxes.QuotaText(next.Messages)}))
	_, err = op.o.Accounts.SetQuota(ctx, a, next.Octets, next.Messages, told)
	return err
}
