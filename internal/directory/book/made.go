package book

import (
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/directory/proof"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
)

// made is a directory that stands and was proven closed, and what it was made of. A change of it is
// judged by what the change touches. It is not changed any more; nil is none.
type made struct {
	snapshot *directory.Snapshot
	config   directory.Config // without the entries, but for the domains
	entries  *roster.State
	changes  uint64 // of the accounts
	accounts []mail.Address
	some     []mail.Address // proof.Some of them
	// further are the addresses that directories elsewhere give, by Key: what takes one of them, or
	// leaves it, changes more than itself.
	further map[string]bool
	aliases []directory.Alias // those addresses
}

// madeOf notes what a directory that was judged as a whole was made of; nil where none was.
func madeOf(j Judged, st Stated, s *roster.State, changes uint64) *made {
	if j.Snapshot == nil {
		return nil
	}
	m := &made{
		snapshot: j.Snapshot, config: j.Config, entries: s, changes: changes, accounts: j.Accounts, some: proof.Some(nil, j.Accounts),
		further: map[string]bool{}, aliases: st.further,
	}
	m.config.Aliases, m.config.Forwards, m.config.Delegates, m.config.Contacts = nil, nil, nil, nil
	for _, a := range st.further {
		m.further[a.Address.Key()] = true
		if base, ok := directory.DetailOf(j.Config, a.Address); ok {
			m.further[base.Key()] = true
		}
	}
	return m
}

// of reports whether it was made of these entries, and of the accounts when they had changed so often.
func (m *made) of(s *roster.State, changes uint64) bool {
	return m != nil && m.entries == s && m.changes == changes
}

// withEntries is the directory after an edit of the entries, and of the accounts where become is not
// nil; false: only the whole can tell whether it stands and is closed.
func (m *made) withEntries(st Stated, before, after *roster.State, e roster.Edit, become func([]mail.Address) []mail.Address) (*made, bool) {
	c, ok := entriesOf(st, before, e)
	if len(c.Removed.Domains)+len(c.Put.Domains) > 0 {
		if st.List != nil || len(m.further) > 0 {
			return nil, false
		}
		cfg, faults := st.domains(after)
		if ok = ok && len(faults) == 0; ok {
			c.Domains = cfg
		}
	}
	if !ok {
		return nil, false
	}
	next := *m
	next.entries = after
	if become != nil {
		next.accounts = become(m.accounts)
		slices.SortFunc(next.accounts, func(a, b mail.Address) int { return strings.Compare(a.Key(), b.Key()) })
		c.Removed.Accounts, c.Put.Accounts = differ(m.accounts, next.accounts)
	}
	return next.with(c)
}

// withAccounts is the directory after a change of the accounts; false: only the whole can tell.
func (m *made) withAccounts(st Stated, s *roster.State, accounts []mail.Address, changes uint64) (*made, bool) {
	if m == nil || m.entries != s || !slices.EqualFunc(m.aliases, st.further, func(a, b directory.Alias) bool {
		return a.Address == b.Address && slices.Equal(a.Targets, b.Targets)
	}) {
		return nil, false
	}
	var c directory.Change
	c.Removed.Accounts, c.Put.Accounts = differ(m.accounts, accounts)
	next := *m
	next.accounts, next.changes = accounts, changes
	if len(c.Removed.Accounts)+len(c.Put.Accounts) == 0 {
		return &next, true // they are what they were, or what a change of the entries was judged with
	}
	return next.with(c)
}

// maxAccounts is how many accounts may come or go and still be judged by themselves.
const maxAccounts = 100

// with makes the change of a copy of what stands.
func (m *made) with(c directory.Change) (*made, bool) {
	if len(c.Removed.Accounts)+len(c.Put.Accounts) > maxAccounts {
		return nil, false
	}
	for _, change := range []directory.Entries{c.Removed, c.Put} {
		for _, a := range change.Accounts {
			if m.further[a.Key()] || slices.Contains(m.some, a) {
				return nil, false
			}
		}
		for _, a := range change.Aliases {
			if a.CatchAll.IsZero() && m.further[a.Address.Key()] {
				return nil, false
			}
		}
	}
	if !slices.Equal(proof.Some(m.some, c.Put.Accounts), m.some) {
		return nil, false
	}
	snapshot, touched, ok := m.snapshot.With(c)
	if !ok {
		return nil, false
	}
	m.snapshot = snapshot
	if c.Domains != nil {
		m.config.Domains = c.Domains
	}
	return m, proof.Prove(proof.After(m.config, snapshot, touched, m.some)).Closed()
}

// differ returns what is in before alone, and what is in after alone; both are in the order of keys.
func differ(before, after []mail.Address) (removed, put []mail.Address) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(before) > 0 && len(after) > 0 && before[0] == after[0]:
			before, after = before[1:], after[1:]
		case len(after) == 0 || len(before) > 0 && before[0].Key() < after[0].Key():
			removed, before = append(removed, before[0]), before[1:]
		case len(before) == 0 || before[0].Key() > after[0].Key():
			put, after = append(put, after[0]), after[1:]
		default: // the same name with other capitals
			removed, before = append(removed, before[0]), before[1:]
			put, after = append(put, after[0]), after[1:]
		}
	}
	return removed, put
}

// entriesOf is an edit of the roster as a change of the directory; false where an entry cannot be
// read.
func entriesOf(st Stated, before *roster.State, e roster.Edit) (c directory.Change, ok bool) {
	ok = true
	for _, ref := range e.Remove {
		entry, there := before.Get(ref)
		ok = ok && there && add(st, &c.Removed, entry)
	}
	for _, entry := range e.Put {
		if former, there := before.Get(entry.Ref()); there {
			ok = ok && !slices.Contains(e.Remove, entry.Ref()) && add(st, &c.Removed, former)
		}
		ok = ok && add(st, &c.Put, entry)
	}
	return c, ok && len(before.Damaged()) == 0
}

// add adds an entry of the roster; false where this release cannot read it.
func add(st Stated, to *directory.Entries, e roster.Entry) bool {
	switch e := e.(type) {
	case roster.Domain:
		d, err := st.Domain(e.Name, e.Deliver)
		if err != nil {
			return false
		}
		d.Postmaster = e.Postmaster
		to.Domains = append(to.Domains, d)
	case roster.Alias:
		to.Aliases = append(to.Aliases, e.Alias)
	case roster.Forward:
		to.Forwards = append(to.Forwards, e.Forward)
	case roster.Delegate:
		to.Delegates = append(to.Delegates, e.Delegate)
	case roster.Contact:
		to.Contacts = append(to.Contacts, e.Contact)
	default:
		return false
	}
	return true
}
