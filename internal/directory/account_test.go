package directory

import "sallyport/internal/mail"

// WithAccount returns a snapshot that also has the account, whatever With thinks of that.
func (s *Snapshot) WithAccount(a mail.Address) *Snapshot {
	if s.accounts == nil || a.IsZero() {
		return s
	}
	next := s.accounts.with(a.Key(), a)
	return &Snapshot{base: s.base, accounts: &next}
}

// WithoutAccount returns a snapshot that lacks the account.
func (s *Snapshot) WithoutAccount(a mail.Address) *Snapshot {
	if s.accounts == nil {
		return s
	}
	next := s.accounts.without(a.Key())
	return &Snapshot{base: s.base, accounts: &next}
}

// after returns the snapshot after a change, or as it was where With makes none.
func (s *Snapshot) after(c Change) *Snapshot {
	if next, _, ok := s.With(c); ok {
		return next
	}
	return s
}

func added(a mail.Address) Change   { return Change{Put: Entries{Accounts: []mail.Address{a}}} }
func removed(a mail.Address) Change { return Change{Removed: Entries{Accounts: []mail.Address{a}}} }
