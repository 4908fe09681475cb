package directory

import (
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// audience is the destination of what reached mailboxes: the rule of every alias
// on the way holds, so that a group inside a group is no way around the inner
// one's rule.
func (e *expansion) audience(account mail.Address) gate.Destination {
	if len(e.closed) == 0 {
		return gate.DestinationMailbox
	}
	m := membership{snapshot: e.snapshot, account: account.Key(), known: map[string]bool{}}
	members := false
	for _, a := range e.closed {
		switch a.Posting {
		case PostingAccounts:
		case PostingMembers:
			members = true
			if !m.leadsTo(a.Address) {
				return gate.DestinationNonMember
			}
		default:
			return gate.DestinationNonMember
		}
	}
	if members {
		return gate.DestinationMembersOnly
	}
	return gate.DestinationAccountsOnly
}

// membership finds out whether addresses lead to one account; each alias is
// followed once, whichever groups are asked for.
type membership struct {
	snapshot *Snapshot
	account  string          // the Key; "" is nobody's
	known    map[string]bool // by key of what is followed; false while it is open
}

func (m *membership) leadsTo(a mail.Address) bool {
	h := m.snapshot.look(a)
	if !h.account.IsZero() && h.account.Key() == m.account {
		return true
	}
	if len(h.targets) == 0 {
		return false
	}
	if yes, seen := m.known[h.key]; seen {
		return yes
	}
	m.known[h.key] = false
	for _, t := range h.targets {
		if m.leadsTo(t) {
			m.known[h.key] = true
			break
		}
	}
	return m.known[h.key]
}
