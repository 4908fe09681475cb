package directory

import (
	"strings"

	"sallyport/internal/mail"
)

// hop is what an address of a domain of ours is by itself, before anything that it
// leads to is looked at.
type hop struct {
	rule    string         // RuleAccount, RuleAlias, RuleDetail, RuleRole, RuleCatchAll or RuleNoSuchUser
	key     string         // of what is followed: the alias, the role or the catch-all
	account mail.Address   // RuleAccount; of an alias beside an account, that one; of a role with a mailbox of its own, that mailbox
	alias   Alias          // RuleAlias, RuleCatchAll
	targets []mail.Address // that it leads to; of RuleDetail the one base
	detail  string         // RuleDetail: what was cut off
}

// look finds an address in the order of precedence: an account or an alias of
// exactly this name, one of the name before the separator, a role.
func (s *Snapshot) look(a mail.Address) hop {
	key := a.Key()
	account, known := s.account(key)
	alias, ok := s.base.aliases.get(key)
	switch {
	case ok && (!known || alias.Keeps()):
		return hop{rule: RuleAlias, key: key, account: account, alias: alias, targets: alias.Targets}
	case known:
		return hop{rule: RuleAccount, key: key, account: account}
	}
	if base, rest, ok := s.cutDetail(a); ok {
		return hop{rule: RuleDetail, key: key, targets: []mail.Address{base}, detail: rest}
	}
	if IsRole(a) {
		return s.role(a, key)
	}
	return hop{rule: RuleNoSuchUser, key: key}
}

// catchAll finds the catch-all of an address that look finds nothing for. It takes
// what people write to, never what an alias leads to: mail for somebody who is gone
// must not end with somebody whom the alias does not name.
func (s *Snapshot) catchAll(a mail.Address) hop {
	if alias, ok := s.base.catchAlls[a.Domain()]; ok {
		return hop{rule: RuleCatchAll, key: catchAllKey(alias.CatchAll), alias: alias, targets: alias.Targets}
	}
	return hop{rule: RuleNoSuchUser, key: a.Key()}
}

// catchAllKey is unlike the Key of any address, which holds no control character.
func catchAllKey(d mail.Domain) string { return "\x01" + d.ASCII() }

// account finds an account of a domain that is ours now.
func (s *Snapshot) account(key string) (mail.Address, bool) {
	a, ok := s.accounts.get(key)
	if !ok {
		return mail.Address{}, false
	}
	_, ours := s.base.domains[a.Domain()]
	return a, ours
}

// cutDetail parts a local-part at the separator, if an account or an alias has the
// base; otherwise the whole local-part is just an unknown name. What the list of a server behind us names
// is a mailbox of its own: "jean-pierre" is nobody's detail there.
func (s *Snapshot) cutDetail(a mail.Address) (base mail.Address, detail string, ok bool) {
	base, detail, ok = s.split(a)
	if !ok || s.base.listed[a.Key()] {
		return mail.Address{}, "", false
	}
	key := base.Key()
	_, account := s.account(key)
	_, alias := s.base.aliases.get(key)
	return base, detail, account || alias
}

// Bare returns an address of ours without its detail, whatever it leads to; zero where it has none,
// since somebody has the whole name, or nobody what stands before the separator. What a server behind
// us may know better is a detail behind "+" alone.
func (s *Snapshot) Bare(a mail.Address) mail.Address {
	if s.accounts == nil || !s.IsOurs(a.Domain()) {
		return mail.Address{}
	}
	h := s.look(a)
	if h.rule == RuleDetail {
		return h.targets[0]
	}
	base, _, parted := s.split(a)
	if h.rule == RuleNoSuchUser && parted && s.base.domains[a.Domain()].Deliver.Behind() && !s.base.listed[a.Key()] && !s.mayBeAnother(a) {
		return base
	}
	return mail.Address{}
}

// split parts a local-part at the separator, whoever has the base.
func (s *Snapshot) split(a mail.Address) (base mail.Address, detail string, ok bool) {
	return s.base.split(a)
}

func (b *base) split(a mail.Address) (base mail.Address, detail string, ok bool) {
	if b.detail == 0 {
		return mail.Address{}, "", false
	}
	local, detail, found := strings.Cut(a.Local(), string(rune(b.detail)))
	if !found || local == "" {
		return mail.Address{}, "", false
	}
	base, err := a.WithLocal(local)
	return base, detail, err == nil
}

// role resolves postmaster and abuse where neither an account nor an alias has
// their name: abuse is the postmaster's, and the postmaster is whom the domain
// names, or a mailbox of its own.
func (s *Snapshot) role(a mail.Address, key string) hop {
	h := hop{rule: RuleRole, key: key}
	own, err := a.WithLocal(postmasterLocal)
	if err != nil {
		return hop{rule: RuleNoSuchUser, key: key}
	}
	if mail.FoldLocal(a.Local()) == abuseLocal {
		h.targets = []mail.Address{own}
		return h
	}
	if named := s.base.postmasterOf(a.Domain()); !named.IsZero() && named.Key() != key {
		h.targets = []mail.Address{named}
		return h
	}
	h.account = own
	return h
}
