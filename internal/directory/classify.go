package directory

import (
	"net/netip"
	"slices"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

const (
	postmasterLocal = "postmaster"
	abuseLocal      = "abuse"
)

// The rules by which an address got its class, for the trace.
const (
	RuleForeign        = "foreign"
	RuleForeignLiteral = "foreign-literal"
	RuleSpecialLiteral = "special-literal" // loopback, multicast, link-local: nobody's mailbox
	RuleOwnLiteral     = string(gate.RuleOwnLiteral)
	RuleUnavailable    = "accounts-unavailable"
	RuleAccount        = "account"
	RuleAlias          = "alias"
	RuleDetail         = "detail"
	RuleRole           = "role"
	RuleCatchAll       = "catch-all"
	RuleNoSuchUser     = string(gate.RuleNoSuchUser)
	RuleAliasEmpty     = "alias-without-mailbox"
	RuleAliasLoop      = string(gate.RuleAliasLoop)
	RuleAliasDepth     = "alias-depth"
	RuleAliasExpansion = "alias-expansion"
	RuleBehind         = "server-behind"  // an address of a domain with a server behind us
	RuleRefusedBehind  = "refused-behind" // which that server refuses
	RuleUnverified     = "unverified"     // of which nothing is known now
	RuleContact        = "contact"        // where the owner of an account is told, outside
)

// Class is what an address is to this server. The zero Class is unknown, and the
// gate refuses it.
type Class struct {
	Destination gate.Destination
	// Mailboxes are where mail for the address is delivered, each account once. It
	// is empty for what is not ours, nobody's, or not known, but for what Ask says.
	Mailboxes []Mailbox
	// Ask are mailboxes of which only the server behind us knows whether they exist.
	// Until Resolve is told, Destination is DestinationUnavailable.
	Ask []Mailbox
	// Missing are the targets of aliases on the way that are no mailbox (any more).
	Missing []mail.Address
	// Rule says how the class was found.
	Rule string
	// known is what Destination becomes when Resolve finds a mailbox.
	known gate.Destination
}

// Foreign reports whether the address is in no domain of ours, so that its mail leaves.
func (c Class) Foreign() bool { return c.Destination == gate.DestinationForeign }

// Mailbox is a final place of delivery.
type Mailbox struct {
	Account mail.Address
	Detail  string // what stood behind the separator, "" for nothing
	// Behind is the address to give to the server behind us, with the capitals and
	// the detail that it came with; zero for a mailbox of ours.
	Behind mail.Address
}

// Place returns the address of the mailbox where it is kept: what tells where mail
// for it goes.
func (m Mailbox) Place() mail.Address {
	if m.Behind.IsZero() {
		return m.Account
	}
	return m.Behind
}

// Classify tells what a is to somebody who has no account here.
func (s *Snapshot) Classify(a mail.Address) Class { return s.ClassifyFor(mail.Address{}, a) }

// ClassifyFor tells what a is to an account, which may be a member of groups that
// only members write to. The zero account is none, and no member.
func (s *Snapshot) ClassifyFor(account, a mail.Address) Class { return s.classify(account, a, nil) }

// classify is ClassifyFor, and notes the steps on the way where trail is not nil.
func (s *Snapshot) classify(account, a mail.Address, trail *trail) Class {
	if a.IsZero() {
		return Class{}
	}
	if ip, literal := a.Literal(); literal {
		return s.classifyLiteral(a, ip, trail)
	}
	if !s.IsOurs(a.Domain()) {
		return Class{Destination: gate.DestinationForeign, Rule: RuleForeign}
	}
	return s.classifyOurs(account, a, trail)
}

// classifyLiteral: RFC 5321 §4.5.1 wants the postmaster reachable; nobody else
// lives at a literal. Loopback and its like are never foreign, so that no signed-in
// account can be made to send there either.
func (s *Snapshot) classifyLiteral(a mail.Address, ip netip.Addr, trail *trail) Class {
	if !s.base.literals[ip] {
		if isSpecial(ip) {
			return Class{Destination: gate.DestinationOwnLiteral, Rule: RuleSpecialLiteral}
		}
		return Class{Destination: gate.DestinationForeign, Rule: RuleForeignLiteral}
	}
	if mail.FoldLocal(a.Local()) != postmasterLocal {
		return Class{Destination: gate.DestinationOwnLiteral, Rule: RuleOwnLiteral}
	}
	host, err := mail.NewAddress(postmasterLocal, s.base.hostname)
	if err != nil {
		return Class{}
	}
	c := s.classifyOurs(mail.Address{}, host, trail)
	// The literal is nobody's to send as, whoever reads the postmaster's mail.
	c.Rule = RuleRole
	return c
}

func isSpecial(ip netip.Addr) bool {
	return ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast()
}

// classifyOurs classifies an address of a domain of ours, for an account or for
// nobody.
func (s *Snapshot) classifyOurs(account, a mail.Address, trail *trail) Class {
	if s.accounts == nil {
		return Class{Destination: gate.DestinationUnavailable, Rule: RuleUnavailable}
	}
	e := expansion{snapshot: s, trail: trail}
	rule := e.visit(a, "", 0)
	switch {
	case IsRole(a) && rule != RuleBehind:
		return e.roleClass(a, rule)
	case e.fault != "":
		return Class{Destination: gate.DestinationLoop, Rule: e.fault}
	case e.unlisted || rule == RuleNoSuchUser && s.base.domains[a.Domain()].Unlisted:
		// Half of an alias is no delivery of it.
		return Class{Destination: gate.DestinationUnavailable, Rule: RuleUnverified}
	case rule == RuleNoSuchUser:
		return Class{Destination: gate.DestinationNoSuchUser, Rule: RuleNoSuchUser}
	case len(e.ask) > 0:
		return Class{Destination: gate.DestinationUnavailable, Mailboxes: e.found, Ask: e.ask, Missing: e.missing, Rule: rule, known: e.audience(account)}
	case len(e.found) == 0:
		return Class{Destination: gate.DestinationNoSuchUser, Missing: e.missing, Rule: RuleAliasEmpty}
	}
	return Class{Destination: e.audience(account), Mailboxes: e.found, Missing: e.missing, Rule: rule}
}

// roleClass is the class of postmaster and abuse, which always exist: where the
// alias or the setting for them loops or leads nowhere, the role's own mailbox
// takes the mail.
func (e *expansion) roleClass(a mail.Address, rule string) Class {
	// Nobody is asked about a role: what the server behind us refuses later is held.
	e.found = append(e.found, e.ask...)
	c := Class{Destination: gate.DestinationPostmaster, Mailboxes: e.found, Missing: e.missing, Rule: rule}
	own, err := a.WithLocal(postmasterLocal)
	if err == nil && (e.fault != "" || len(e.found) == 0) {
		c.Mailboxes = []Mailbox{e.snapshot.base.placed(Mailbox{Account: own})}
		c.Rule = RuleRole
	}
	return c
}

// IsRole reports whether the local-part is a mailbox name that always exists.
// RFC 5321 §4.5.1 (postmaster), RFC 2142 §4 (abuse).
func IsRole(a mail.Address) bool {
	local := mail.FoldLocal(a.Local())
	return local == postmasterLocal || local == abuseLocal
}

// visit marks where an expansion has been.
type visit uint8

const (
	visitOpen visit = iota + 1 // on the way from the start to here
	visitDone
)

// fewVisits is up to how many visits are looked through one by one: most addresses have two or three.
const fewVisits = 8

// visits are what an expansion visited, by key.
type visits struct {
	keys   []string
	states []visit
	at     map[string]int // once they are not few
}

func (v *visits) index(key string) int {
	if v.at == nil {
		return slices.Index(v.keys, key)
	}
	if i, ok := v.at[key]; ok {
		return i
	}
	return -1
}

func (v *visits) of(key string) visit {
	if i := v.index(key); i >= 0 {
		return v.states[i]
	}
	return 0
}

func (v *visits) set(key string, to visit) {
	if i := v.index(key); i >= 0 {
		v.states[i] = to
		return
	}
	v.keys, v.states = append(v.keys, key), append(v.states, to)
	switch {
	case v.at != nil:
		v.at[key] = len(v.keys) - 1
	case len(v.keys) > fewVisits:
		v.at = map[string]int{}
		for i, k := range v.keys {
			v.at[k] = i
		}
	}
}

// expansion follows aliases from one address. Each alias is followed once, however
// many ways lead to it, so that the work is bounded by the number of aliases.
type expansion struct {
	snapshot *Snapshot
	state    visits   // of aliases, catch-alls and role addresses, by their key
	open     []string // those that are visitOpen, from the start to here
	found    []Mailbox
	ask      []Mailbox
	missing  []mail.Address
	closed   []Alias // aliases on the way that not everybody may write to
	unlisted bool    // nobody knows whether a target on the way exists
	fault    string  // the rule of the bound that was met
	trail    *trail  // nil: nobody asks for the way
}

// visit resolves one address and returns the rule that found it.
func (e *expansion) visit(a mail.Address, detail string, depth int) (rule string) {
	if e.fault != "" {
		return e.fault
	}
	h := hop{rule: RuleNoSuchUser}
	if d := e.snapshot.base.domains[a.Domain()]; !d.Deliver.Behind() {
		h = e.snapshot.look(a)
	} else if rule = e.visitBehind(d, a, detail, depth, false); rule != RuleNoSuchUser {
		return rule
	}
	if h.rule == RuleNoSuchUser && depth == 0 && !e.snapshot.base.domains[a.Domain()].Unlisted {
		h = e.snapshot.catchAll(a)
	}
	e.trail.note(a, depth, h)
	switch h.rule {
	case RuleAccount:
		e.add(Mailbox{Account: h.account, Detail: detail}, false)
	case RuleAlias:
		return e.beside(h.account, e.alias(h.alias, h.key, detail, depth))
	case RuleDetail:
		e.visit(h.targets[0], h.detail, depth)
	case RuleRole:
		return e.role(h, depth)
	case RuleCatchAll:
		return e.follow(h.key, h.targets, "", depth, h.rule)
	}
	return h.rule
}

// alias follows an alias, and notes it where not everybody may write to it.
func (e *expansion) alias(a Alias, key, detail string, depth int) string {
	if a.Posting != PostingAnyone {
		e.closed = append(e.closed, a)
	}
	return e.follow(key, a.Targets, detail, depth, RuleAlias)
}

// beside is the rule of an address that an alias was followed for: with an account there,
// the alias only gives others a copy, and the address is the account's.
func (e *expansion) beside(account mail.Address, rule string) string {
	if !account.IsZero() && rule == RuleAlias {
		return RuleAccount
	}
	return rule
}

// self resolves the target by which an alias names itself: what has the address without
// the alias.
func (e *expansion) self(a mail.Address, detail string, depth int) string {
	if d := e.snapshot.base.domains[a.Domain()]; d.Deliver.Behind() {
		return e.visitBehind(d, a, detail, depth, true)
	}
	if account, ok := e.snapshot.account(a.Key()); ok {
		e.trail.note(a, depth, hop{rule: RuleAccount, account: account})
		e.add(Mailbox{Account: account, Detail: detail}, false)
		return RuleAccount
	}
	if h := e.snapshot.role(a, a.Key()); IsRole(a) && h.rule == RuleRole {
		e.trail.note(a, depth, h)
		if len(h.targets) == 0 {
			return e.role(h, depth)
		}
		return e.visit(h.targets[0], "", depth)
	}
	return RuleNoSuchUser
}

// role follows a role, which may be a mailbox of its own.
func (e *expansion) role(h hop, depth int) string {
	if len(h.targets) == 0 {
		e.add(e.snapshot.base.placed(Mailbox{Account: h.account}), false)
		return h.rule
	}
	return e.follow(h.key, h.targets, "", depth, h.rule)
}

// follow resolves all targets of an alias, or of a role.
func (e *expansion) follow(key string, targets []mail.Address, detail string, depth int, rule string) string {
	switch {
	case e.state.of(key) == visitOpen && e.kept(key):
		return rule // a mailbox on the way has a copy, and the other targets have their turn
	case e.state.of(key) == visitOpen:
		e.fault = RuleAliasLoop
		return e.fault
	case e.state.of(key) == visitDone:
		return rule
	case depth >= e.snapshot.base.maxDepth:
		e.fault = RuleAliasDepth
		return e.fault
	}
	e.state.set(key, visitOpen)
	e.open = append(e.open, key)
	for _, t := range targets {
		resolve := e.visit
		if t.Key() == key && e.snapshot.base.aliases.of(key).Keeps() {
			resolve = e.self
		}
		if resolve(t, detail, depth+1) == RuleNoSuchUser {
			e.unlisted = e.unlisted || e.snapshot.base.domains[t.Domain()].Unlisted
			e.missing = append(e.missing, t)
		}
	}
	e.open = e.open[:len(e.open)-1]
	e.state.set(key, visitDone)
	return rule
}

// kept reports whether an alias on the circle that ends here keeps a copy, so that the
// circle does end somewhere.
func (e *expansion) kept(key string) bool {
	return slices.ContainsFunc(e.open[slices.Index(e.open, key):], func(k string) bool { return e.snapshot.base.aliases.of(k).Keeps() })
}

// add notes a mailbox, or one to be asked about, each account once; the first detail
// stays.
func (e *expansion) add(m Mailbox, ask bool) {
	key := "\x00" + m.Account.Key() // no Key holds a control character
	if e.state.of(key) == visitDone {
		return
	}
	if len(e.found)+len(e.ask) >= e.snapshot.base.maxExpansion {
		e.fault = RuleAliasExpansion
		return
	}
	e.state.set(key, visitDone)
	if ask {
		e.ask = append(e.ask, m)
		return
	}
	e.found = append(e.found, m)
}

// postmasterOf returns whom the configuration names as a domain's postmaster; zero
// for nobody.
func (b *base) postmasterOf(d mail.Domain) mail.Address {
	own, ok := b.domains[d]
	switch {
	case !ok:
		return b.hostPostmaster
	case own.Postmaster.IsZero():
		return b.postmaster
	}
	return own.Postmaster
}
