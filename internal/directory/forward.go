package directory

import (
	"slices"

	"sallyport/internal/mail"
)

const (
	// DefaultForwardTargets is how many addresses one account may forward to when
	// Config says nothing.
	DefaultForwardTargets = 5
	// ForwardTargetsCeiling bounds what Config may say.
	ForwardTargetsCeiling = 100
)

// Forward leads the mail of an account on to addresses that are not ours. The
// account answers for it: what leaves, leaves on a grant of the account.
type Forward struct {
	Account mail.Address
	Targets []mail.Address // each once, in the order of the operator; none is ours
	Keep    bool           // the account's mailbox gets a copy as well
}

// Subject names the forward in a Fault.
func (fw Forward) Subject() Subject {
	return Subject{KindForward, fw.Account.String()}
}

// Forwards returns the forward of an account that is to be carried out now. It is
// false for an account that has none, for an account that does not exist or is of
// no domain of ours, and for every account while forwards may not leave
// (Config.ForwardExternal): then mail stays in the mailbox. The caller must not
// change the targets.
func (s *Snapshot) Forwards(account mail.Address) (Forward, bool) {
	if !s.base.forwardExternal {
		return Forward{}, false
	}
	return s.forwardOf(account)
}

// ForwardSleeps reports whether an account has a forward that would be carried out if
// forwards might leave (Config.ForwardExternal).
func (s *Snapshot) ForwardSleeps(account mail.Address) bool {
	if s.base.forwardExternal {
		return false
	}
	_, ok := s.forwardOf(account)
	return ok
}

// forwardOf returns the forward of an account that exists.
func (s *Snapshot) forwardOf(account mail.Address) (Forward, bool) {
	if s.accounts == nil || account.IsZero() {
		return Forward{}, false
	}
	key := account.Key()
	f, ok := s.base.forwards.get(key)
	if !ok {
		return Forward{}, false
	}
	if _, exists := s.account(key); !exists {
		return Forward{}, false
	}
	return f, true
}

// addForwards takes the forwards of the configuration. One that led to an address
// of ours would be an alias that nobody counts, and one to a literal could reach
// into the operator's own network.
func (b *base) addForwards(forwards []Forward, f *faults) {
	for _, fw := range forwards {
		b.checkForward(fw, f)
		b.forwards.fresh(fw.Account.Key(), fw.clone(), len(forwards))
	}
}

func (fw Forward) clone() Forward { return Forward{fw.Account, slices.Clone(fw.Targets), fw.Keep} }

// checkForward checks one forward against those that are in b already.
func (b *base) checkForward(fw Forward, f *faults) {
	key, s := fw.Account.Key(), fw.Subject()
	if _, ours := b.domains[fw.Account.Domain()]; !ours {
		f.about(s, "the forward of %s is of no domain of ours", fw.Account)
	}
	if _, twice := b.forwards.get(key); twice {
		f.about(s, "the forward of %s is given twice", fw.Account)
	}
	if len(fw.Targets) == 0 || len(fw.Targets) > b.forwardTargets {
		f.about(s, "the forward of %s leads to %d addresses; it may be 1 to %d", fw.Account, len(fw.Targets), b.forwardTargets)
	}
	for i, t := range fw.Targets {
		switch {
		case t.Domain().IsZero():
			f.about(s, "the forward of %s has a target in no domain", fw.Account)
		case b.isOurs(t.Domain()):
			f.about(s, "the forward of %s leads to %s, an address of ours", fw.Account, t)
		case slices.Contains(fw.Targets[:i], t):
			f.about(s, "the forward of %s leads to %s twice", fw.Account, t)
		}
	}
}
