package domains

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/bind/review"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// Findings are what an operator needs of package bind/review.
type Findings interface {
	List(account mail.Address) []review.Finding
	Forget(ctx context.Context, account mail.Address, facts ...[]byte) (int, error)
}

// BindingState says what can be done about a name that an account used and does not own.
type BindingState string

const (
	StateOpen    BindingState = "open"    // it can be granted
	StateGranted BindingState = "granted" // the account may use it by now
	StateNobody  BindingState = "nobody"  // it is no account, alias or group of ours
	StateForeign BindingState = "foreign" // it is not ours: nobody can grant it
	StateMore    BindingState = "more"    // names that there was no room for
)

// Binding is a name that an account used and does not own.
type Binding struct {
	Account string       `json:"account"`
	Name    string       `json:"name,omitempty"` // an address, or "@" and a domain that is not ours
	Where   string       `json:"where,omitempty"`
	Taken   uint64       `json:"taken"`   // messages that were taken all the same
	Refused uint64       `json:"refused"` // and refused
	First   time.Time    `json:"first"`
	Last    time.Time    `json:"last"`
	State   BindingState `json:"state"`
}

// BindingSelect chooses findings.
type BindingSelect struct {
	Account string `json:"account,omitempty"` // "": of all
	All     bool   `json:"all,omitempty"`     // those that were granted since as well
}

// BindingMode is how senders are bound now.
type BindingMode struct {
	Mode     string    `json:"mode"`
	Accounts int       `json:"accounts"` // with open findings
	Names    int       `json:"names"`    // that are open
	Since    time.Time `json:"since,omitzero"`
}

// BindingList calls fn for each finding, in order of accounts and names.
func (op *Actions) BindingList(_ context.Context, _ call.Caller, r BindingSelect, fn func(Binding) error) error {
	account, err := op.findingsOf(r.Account)
	if err != nil {
		return err
	}
	for _, f := range op.o.Findings.List(account) {
		v := op.bindingView(f)
		if v.State == StateGranted && !r.All {
			continue
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	return nil
}

// findingsOf reads whose findings are meant; "" is everybody's.
func (op *Actions) findingsOf(account string) (mail.Address, error) {
	if account == "" {
		return mail.Address{}, nil
	}
	a, err := call.ParseAccount(account)
	if err != nil {
		return a, err
	}
	_, err = op.o.Account(a)
	return a, err
}

func (op *Actions) bindingView(f review.Finding) Binding {
	v := Binding{Account: f.Account.String(), Name: f.Name, Taken: f.Taken, Refused: f.Refused, First: f.First, Last: f.Last}
	if f.Where != bind.Nowhere {
		v.Where = f.Where.String()
	}
	v.State = op.bindingState(f)
	return v
}

func (op *Actions) bindingState(f review.Finding) BindingState {
	if f.Name == "" {
		return StateMore
	}
	a, err := mail.ParseAddress(f.Name, mail.UTF8)
	s := op.o.Book.Snapshot()
	switch {
	case err != nil || strings.HasPrefix(f.Name, "@") || !s.IsOurs(a.Domain()):
		return StateForeign
	case s.Owner(f.Account).Owns(a):
		return StateGranted
	case !s.IsSomebody(a):
		return StateNobody
	}
	return StateOpen
}

// BindingMode tells how senders are bound, and what there is to review.
func (op *Actions) BindingMode() BindingMode {
	m := BindingMode{Mode: op.o.Binding().String()}
	of, names := map[string]bool{}, map[string]bool{}
	for _, f := range op.o.Findings.List(mail.Address{}) {
		if s := op.bindingState(f); s == StateGranted || s == StateMore {
			continue
		}
		of[f.Account.Key()], names[f.Account.Key()+" "+f.Name] = true, true
		if m.Since.IsZero() || f.First.Before(m.Since) {
			m.Since = f.First
		}
	}
	m.Accounts, m.Names = len(of), len(names)
	return m
}

// BindingReview is how senders are bound, where that or what was found is to be looked at; nil: they
// are, and there is nothing to review.
func (op *Actions) BindingReview() *BindingMode {
	if m := op.BindingMode(); m.Names > 0 || m.Mode != bind.Enforce.String() {
		return &m
	}
	return nil
}

// BindingGrant turns findings into rights: of an account those named, or with All every one
// that can be granted, of the account or, where none is named, of all accounts.
type BindingGrant struct {
	Account string   `json:"account,omitempty"`
	Names   []string `json:"names,omitempty"`
	All     bool     `json:"all,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// BindingGranted is what was granted, or would be, and what of the chosen was not, and why.
type BindingGranted struct {
	Granted []Delegate    `json:"granted"`
	Left    []BindingLeft `json:"left,omitempty"`
	DryRun  bool          `json:"dry_run,omitempty"`
}

// BindingLeft is a finding that was not granted.
type BindingLeft struct {
	Account string `json:"account"`
	Name    string `json:"name"`
	Why     string `json:"why"`
}

// BindingGrant gives accounts the right to send as what they were found to send as, all of
// it in one act, which the proof of the directory judges first. Only what was found can be
// granted, and nothing to an account that is frozen: what a thief wrote as is no habit.
func (op *Actions) BindingGrant(ctx context.Context, by call.Caller, r BindingGrant) (BindingGranted, error) {
	out := BindingGranted{DryRun: r.DryRun, Granted: []Delegate{}}
	if r.All == (len(r.Names) > 0) || !r.All && r.Account == "" {
		return out, call.Invalid(errors.New("name an account and the addresses that it may send as, or take all with --all; not both"))
	}
	account, err := op.findingsOf(r.Account)
	if err != nil {
		return out, err
	}
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (edit roster.Edit, err error) {
		out.Granted, out.Left = out.Granted[:0], nil
		chosen, left, err := op.chosen(account, r)
		if err != nil {
			return edit, err
		}
		out.Left = left
		var facts []fact.Fact
		for _, d := range chosen {
			if err := op.checkDelegate(before, d); err != nil {
				return edit, err
			}
			edit.Put = append(edit.Put, d)
			facts = append(facts, op.delegateFact(by, d, "added"))
			out.Granted = append(out.Granted, Delegate{Account: d.Account.String(), Address: d.Address.String(), Added: d.Added, InForce: !r.DryRun})
		}
		edit.Facts = fact.EncodeAll(facts...)
		return edit, nil
	}})
	if err != nil {
		return BindingGranted{}, err
	}
	if !r.DryRun {
		op.grantsReach(ctx, out.Granted)
	}
	return out, nil
}

// grantsReach tells who watches accounts of what they may do now.
func (op *Actions) grantsReach(ctx context.Context, granted []Delegate) {
	for _, d := range granted {
		if a, err := call.ParseAccount(d.Account); err == nil {
			op.reaches(ctx, a, "it may send as "+d.Address)
		}
	}
}

// chosen are the rights that a request chooses among the findings, and what it leaves.
func (op *Actions) chosen(account mail.Address, r BindingGrant) (chosen []roster.Delegate, left []BindingLeft, err error) {
	wanted := map[string]bool{}
	for _, n := range r.Names {
		a, err := call.ParseAccount(n)
		if err != nil {
			return nil, nil, err
		}
		wanted[a.Key()] = true
	}
	met, now := map[string]bool{}, op.addedNow()
	for _, f := range op.o.Findings.List(account) {
		name := f.Account.Key() + " " + f.Name
		if met[name] || !r.All && !wanted[f.Name] {
			continue
		}
		met[name] = true
		delete(wanted, f.Name)
		why := op.unfit(f)
		switch {
		case why == "":
			a, err := call.ParseAccount(f.Name)
			if err != nil {
				return nil, nil, err
			}
			d := roster.Delegate{Added: now}
			d.Account, d.Address = f.Account, a
			chosen = append(chosen, d)
		case !r.All:
			return nil, nil, call.Invalid(fmt.Errorf("%s: %s", f.Name, why))
		case op.bindingState(f) != StateGranted:
			left = append(left, BindingLeft{f.Account.String(), f.Name, why})
		}
	}
	for name := range wanted {
		return nil, nil, call.NotFound(fmt.Sprintf("%s was not found to send as %s; see: sallyport binding ls %s, or grant it by itself: sallyport delegate add", account, name, account))
	}
	slices.SortStableFunc(chosen, func(a, b roster.Delegate) int { return strings.Compare(a.Account.Key(), b.Account.Key()) })
	return chosen, left, nil
}

// unfit says why a finding cannot become a right; "": it can.
func (op *Actions) unfit(f review.Finding) string {
	active, err := op.o.Account(f.Account)
	switch state := op.bindingState(f); {
	case err != nil:
		return "the account does not exist"
	case state == StateMore:
		return "more names than were kept; grant the others, forget the findings and look again"
	case !active:
		return "the account is frozen, and what somebody else wrote as is no habit of its owner"
	case state == StateForeign:
		return "it is of no domain of ours, and nobody here may send as it"
	case state == StateNobody:
		return "it is no account, alias or group; make it first"
	case state == StateGranted:
		return "the account may send as it already"
	}
	return ""
}

// BindingForget chooses whose findings are forgotten; of an account, or with All everybody's.
type BindingForget struct {
	Account string `json:"account,omitempty"`
	All     bool   `json:"all,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// BindingForgotten says how many findings were forgotten, or would be.
type BindingForgotten struct {
	Findings int  `json:"findings"`
	DryRun   bool `json:"dry_run,omitempty"`
}

// BindingForget forgets findings, so that what comes from now on is seen by itself. Rights
// that were granted stay.
func (op *Actions) BindingForget(ctx context.Context, by call.Caller, r BindingForget) (BindingForgotten, error) {
	if r.All == (r.Account != "") {
		return BindingForgotten{}, call.Invalid(errors.New("name an account, or forget the findings of all with --all; not both"))
	}
	account, err := op.findingsOf(r.Account)
	if err != nil {
		return BindingForgotten{}, err
	}
	if r.DryRun {
		return BindingForgotten{len(op.o.Findings.List(account)), true}, nil
	}
	f := fact.DirectoryChanged{At: op.o.Now(), Rule: fact.RuleOperator, Name: account.String(), Change: "findings of sender binding forgotten", Evidence: call.DoneBy(by)}
	n, err := op.o.Findings.Forget(ctx, account, fact.EncodeAll(f.Fact())...)
	return BindingForgotten{Findings: n}, err
}

// BindingList calls Actions.BindingList.
func (c Client) BindingList(ctx context.Context, r BindingSelect, fn func(Binding) error) error {
	return call.Stream(ctx, c.Client, "binding.ls", r, fn)
}

// BindingGrant calls Actions.BindingGrant.
func (c Client) BindingGrant(ctx context.Context, r BindingGrant) (BindingGranted, error) {
	return call.Do[BindingGranted](ctx, c.Client, "binding.grant", r)
}

// BindingForget calls Actions.BindingForget.
func (c Client) BindingForget(ctx context.Context, r BindingForget) (BindingForgotten, error) {
	return call.Do[BindingForgotten](ctx, c.Client, "binding.forget", r)
}
