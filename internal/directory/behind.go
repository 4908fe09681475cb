package directory

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// Answer is what is known of an address that Class.Ask names. The zero Answer is
// that it is not known.
type Answer uint8

const (
	AnswerUnknown Answer = iota
	AnswerYes
	AnswerNo
)

// Resolve returns the class that the answers about Ask give. A class that asks
// nothing stays what it is. One answer that is not known makes the whole address
// unavailable: half of an alias is no delivery of it.
func (c Class) Resolve(answer func(Mailbox) Answer) Class {
	if len(c.Ask) == 0 {
		return c
	}
	out := Class{Rule: c.Rule}
	out.Mailboxes = append(out.Mailboxes, c.Mailboxes...)
	out.Missing = append(out.Missing, c.Missing...)
	for _, m := range c.Ask {
		switch answer(m) {
		case AnswerYes:
			out.Mailboxes = append(out.Mailboxes, m)
		case AnswerNo:
			out.Missing = append(out.Missing, m.Behind)
		default:
			return Class{Destination: gate.DestinationUnavailable, Rule: RuleUnverified}
		}
	}
	out.Destination = c.known
	if len(out.Mailboxes) == 0 {
		out.Destination, out.Rule = gate.DestinationNoSuchUser, RuleRefusedBehind
	}
	return out
}

// visitBehind resolves an address of a domain with a server behind us, as visit
// does. Capitals and details are that server's to interpret. With self no alias of exactly
// this name counts: it is the one that names itself.
func (e *expansion) visitBehind(d Domain, a mail.Address, detail string, depth int, self bool) (rule string) {
	key := a.Key()
	account, known := e.snapshot.account(key)
	m := Mailbox{Account: account, Detail: detail, Behind: e.joined(a, detail)}
	rule = RuleAccount
	if alias, ok := e.snapshot.base.aliases.get(key); ok && !self && (!known || alias.Keeps()) {
		e.trail.note(a, depth, hop{rule: RuleAlias, account: account, alias: alias, targets: alias.Targets})
		return e.beside(account, e.alias(alias, key, detail, depth))
	}
	if !known {
		base, rest, parted := e.snapshot.cutDetail(a)
		account, known = e.snapshot.account(base.Key())
		switch {
		case parted && (!known || e.snapshot.base.aliases.of(base.Key()).Keeps()): // an alias has the base
			e.trail.note(a, depth, hop{rule: RuleDetail, targets: []mail.Address{base}, detail: rest})
			e.visit(base, rest, depth)
			return RuleDetail
		case parted:
			m.Account, m.Detail, rule = account, rest, RuleDetail
		case e.roleBehind(d, a):
			h := e.snapshot.role(a, key)
			e.trail.note(a, depth, h)
			return e.role(h, depth)
		default:
			m.Account, rule = a, RuleBehind
		}
	}
	// What the operator wrote down is a name: an account, a line of the list, a target.
	named := detail == "" && (depth > 0 || known && rule == RuleAccount || e.snapshot.base.listed[key])
	e.trail.note(a, depth, hop{rule: rule, account: m.Account, detail: m.Detail})
	switch {
	case !named && !passable(m.Behind.Local()):
		return RuleNoSuchUser
	case d.Recipients == RecipientsCallout && mail.FoldLocal(a.Local()) != postmasterLocal:
		e.add(m, true)
	case d.Recipients == RecipientsCallout, d.Recipients == RecipientsAccounts && known, (d.Recipients == RecipientsList || d.Recipients == RecipientsDirectory) && e.listed(a):
		e.add(m, false)
	default:
		return RuleNoSuchUser
	}
	return rule
}

// passable reports whether a local-part that nobody named may be given to a server
// behind us. Nothing inside a local-part routes here, but that server trusts us, and
// many still read user%host, host!user, a quoted user@host or a gateway's slashes as
// another place to send to: what a stranger writes would be relayed by it. So only
// letters, digits and these signs pass. RFC 5321 §4.1.2 gives the rest no meaning
// that anybody needs; RFC 6531 §3.3 adds letters beyond ASCII.
func passable(local string) bool {
	for i, c := range local {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c >= utf8.RuneSelf && unicode.In(c, unicode.L, unicode.M, unicode.N):
		case strings.ContainsRune("#$&'*+-=?^_`{}~", c):
		case c == '.' && i > 0 && i < len(local)-1 && local[i-1] != '.':
		default:
			return false
		}
	}
	return local != ""
}

// roleBehind reports whether an address is the role that this server answers for:
// the postmaster always (RFC 5321 §4.5.1), abuse where somebody is named for it, or
// nobody else could know it. Else it is an address like any other.
func (e *expansion) roleBehind(d Domain, a mail.Address) bool {
	local := mail.FoldLocal(a.Local())
	return local == postmasterLocal ||
		local == abuseLocal && (d.Recipients != RecipientsCallout && !e.listed(a) || !e.snapshot.base.postmasterOf(d.Name).IsZero())
}

// listed reports whether a domain's list names an address, or what stands before
// its detail.
func (e *expansion) listed(a mail.Address) bool {
	if e.snapshot.base.listed[a.Key()] {
		return true
	}
	base, _, parted := e.snapshot.split(a)
	return parted && e.snapshot.base.listed[base.Key()]
}

// joined returns an address with the detail that led to it through an alias.
func (e *expansion) joined(a mail.Address, detail string) mail.Address {
	if detail == "" || e.snapshot.base.detail == 0 {
		return a
	}
	joined, err := a.WithLocal(a.Local() + string(rune(e.snapshot.base.detail)) + detail)
	if err != nil {
		return a // too long for an address: the mailbox without the detail
	}
	return joined
}

// placed gives a mailbox of a domain with a server behind us its address there.
func (b *base) placed(m Mailbox) Mailbox {
	if d, ok := b.domains[m.Account.Domain()]; ok && d.Deliver.Behind() && m.Behind.IsZero() {
		m.Behind = m.Account
	}
	return m
}
