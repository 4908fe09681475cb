package directory

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Delegate lets an account send as an address that is not its own.
type Delegate struct {
	Account mail.Address
	Address mail.Address // an account, an alias or a role of ours
}

// rights are what delegates let one account send as.
type rights struct {
	account mail.Address
	as      map[string]mail.Address // by Key
}

// Subject names the delegate in a Fault.
func (d Delegate) Subject() Subject {
	return Subject{KindDelegate, d.Account.String() + " " + d.Address.String()}
}

// addDelegates takes the delegates of the configuration. A right never crosses
// what is not ours: a foreign sender would be forged, whoever allowed it.
func (b *base) addDelegates(delegates []Delegate, f *faults) {
	for _, d := range delegates {
		b.checkDelegate(d, f)
		key := d.Account.Key()
		if _, has := b.delegates.get(key); !has {
			b.delegates.fresh(key, rights{d.Account, map[string]mail.Address{}}, len(delegates))
		}
		b.delegates.of(key).as[d.Address.Key()] = d.Address
		b.leadsTo(d.Address, rightOf(key))
	}
}

// checkDelegate checks one right against those that are in b already.
func (b *base) checkDelegate(d Delegate, f *faults) {
	s := d.Subject()
	key, as := d.Account.Key(), d.Address.Key()
	for _, a := range []mail.Address{d.Account, d.Address} {
		if _, ours := b.domains[a.Domain()]; !ours {
			f.about(s, "the delegate %s sends as %s, and %s is of no domain of ours", d.Account, d.Address, a)
		}
	}
	if _, twice := b.delegates.of(key).as[as]; twice {
		f.about(s, "the right of %s to send as %s is given twice", d.Account, d.Address)
	}
}

// SendsAs returns the addresses that an account may send as because a delegate
// says so, in order.
func (s *Snapshot) SendsAs(account mail.Address) []mail.Address {
	o := s.Owner(account)
	if o.snapshot == nil {
		return nil
	}
	var out []mail.Address
	for _, a := range s.base.delegates.of(o.key).as {
		if o.delegated(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b mail.Address) int { return strings.Compare(a.Key(), b.Key()) })
	return out
}

// delegated reports whether a delegate lets the account send as a. It counts only
// while the account exists and a is somebody: what merely a catch-all would take
// may be anybody's tomorrow.
func (o Owner) delegated(a mail.Address) bool {
	if _, right := o.snapshot.base.delegates.of(o.key).as[a.Key()]; !right {
		return false
	}
	if _, exists := o.snapshot.account(o.key); !exists {
		return false
	}
	return o.snapshot.IsSomebody(a)
}

// IsSomebody reports whether a is an account, an alias that reaches a mailbox, a
// role of ours or a mailbox of the server behind us: no detail of one, and nothing that only a catch-all would take.
func (s *Snapshot) IsSomebody(a mail.Address) bool {
	c := s.Classify(a)
	switch c.Rule {
	case RuleAccount, RuleAlias, RuleRole, RuleBehind:
		_, literal := a.Literal()
		return len(c.Mailboxes)+len(c.Ask) > 0 && !literal
	}
	return false
}
