package proof

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// World is what is to be proven. Of makes it of a real directory, and After of a change of one.
type World struct {
	// Config says what is ours; of it the host name, the domains, the routes, the literals and the
	// separator are read.
	Config directory.Config
	// Entries are what is tried: all that there is, or what a change touches.
	Entries directory.Entries
	// Some are accounts that everything is tried as: see Some.
	Some []mail.Address

	Classify func(account, a mail.Address) directory.Class
	// Notice is the class to a notice about an account.
	Notice    func(account, a mail.Address) directory.Class
	Ownership func(account mail.Address, from mail.ReversePath) gate.Ownership
	Decide    func(gate.Facts, gate.Subject) gate.Verdict
}

// Of returns the world of a snapshot that was made of cfg and the accounts.
func Of(cfg directory.Config, s *directory.Snapshot, accounts []mail.Address) World {
	all := directory.Entries{Domains: cfg.Domains, Aliases: cfg.Aliases, Forwards: cfg.Forwards, Delegates: cfg.Delegates, Contacts: cfg.Contacts, Accounts: accounts}
	return worldOf(cfg, s, all, Some(nil, accounts))
}

// After returns the world of what a change touches. Where the directory before it was closed, the
// one after it is closed if this world is: every cell of the proof that the change does not touch
// is judged by the same answers as before. So cfg may lack the entries, but for the domains, and
// some must be Some of all accounts, before the change and after it.
func After(cfg directory.Config, s *directory.Snapshot, touched directory.Entries, some []mail.Address) World {
	for _, a := range some { // they act, whatever is touched
		if c, ok := s.Contact(a); ok {
			touched.Contacts = append(slices.Clip(touched.Contacts), c)
		}
	}
	return worldOf(cfg, s, touched, some)
}

func worldOf(cfg directory.Config, s *directory.Snapshot, touched directory.Entries, some []mail.Address) World {
	return World{Config: cfg, Entries: touched, Some: some, Classify: s.ClassifyFor, Notice: s.ClassifyNotice, Ownership: s.Ownership, Decide: gate.Decide}
}

// someAccounts is how many accounts everything is tried as.
const someAccounts = 2

// Some returns the accounts that everything is tried as, among those that were and those that came:
// of accounts without a right of their own one is like another. Which they are depends on nothing
// but their addresses, so that a change of others hardly ever changes them.
func Some(of, came []mail.Address) []mail.Address {
	some := slices.Clone(of)
	for _, a := range came {
		if some = append(some, a); len(some) > someAccounts {
			slices.SortFunc(some, func(a, b mail.Address) int {
				return cmp.Or(cmp.Compare(lot(a), lot(b)), strings.Compare(a.Key(), b.Key()))
			})
			some = some[:someAccounts]
		}
	}
	return some
}

// lot is FNV-1a of the Key: it draws some accounts of many, and always the same.
func lot(a mail.Address) (h uint64) {
	h = 14695981039346656037
	for _, c := range []byte(a.Key()) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// Report is what a proof came to.
type Report struct {
	Addresses int      // representatives of recipients
	Classes   int      // combinations of recipient, sender and session that were judged
	Witness   *Witness // nil: closed
}

// Closed reports whether no witness was found and anything was tried at all.
func (r Report) Closed() bool { return r.Witness == nil && r.Classes > 0 }

// Witness is one way in that must not be.
type Witness struct {
	Door      gate.Door
	Peer      gate.Peer
	Auth      gate.Auth
	Standing  gate.Standing
	Client    netip.Addr   // zero: it does not depend on where it comes from
	Account   mail.Address // zero: nobody signed in
	Sender    mail.ReversePath
	Recipient mail.Address
	Rule      gate.Rule         // that let it in; zero where the class alone is wrong
	Class     string            // the directory's rule
	Cause     directory.Subject // of the configuration; zero: none in particular
	Why       string
}

// String returns the witness in one sentence.
func (w Witness) String() string {
	if w.Client.IsValid() {
		return fmt.Sprintf("a client at %s that proved nothing is taken for %s at the %s door: %s", w.Client, w.Account, w.Door, w.Why)
	}
	who := "somebody who is not signed in"
	if !w.Account.IsZero() {
		who = fmt.Sprintf("%s (%s, %s)", w.Account, w.Auth, w.Standing)
	}
	s := fmt.Sprintf("%s at the %s door may send from %s to %s: %s", who, w.Door, w.Sender, w.Recipient, w.Why)
	if w.Rule != "" {
		s += "; the rule is " + string(w.Rule)
	}
	return s + "; the directory says " + w.Class
}

// membersTried is how many of those whom an alias leads to are tried as its members and owners.
const membersTried = 4

// Prove tries everything, and stops at the first witness. What it tries falls into cells, each of
// one who acts, a recipient and a sender; the answers of a cell rest on the entries that it names
// and on what these lead to, and on nothing else.
func Prove(w World) Report {
	p := prover{w: w, ours: map[mail.Domain]bool{w.Config.Hostname: true}, literals: map[netip.Addr]bool{}, judged: map[combination]bool{}, states: map[bool][]gate.Facts{true: sessions(true), false: sessions(false)}}
	for _, d := range w.Config.Domains {
		p.ours[d.Name] = true
	}
	for _, ip := range w.Config.Literals {
		p.literals[ip.Unmap()] = true
	}
	p.contacts = map[string]directory.Contact{}
	for _, c := range w.Entries.Contacts {
		p.contacts[c.Account.Key()] = c
	}
	p.everybody()
	p.owners()
	p.members()
	return p.report
}

// everybody tries what stands always and every entry: as nobody, as some accounts, and each account
// with a right of its own what its rights name.
func (p *prover) everybody() {
	standing, entries, common := p.standing(), p.entries(), p.senders()
	names := p.names()
	p.report.Addresses = len(standing) + len(entries)
	for i, account := range slices.Concat([]mail.Address{{}}, p.w.Some) {
		senders := common
		if !account.IsZero() {
			senders = slices.Concat(common, []mail.Address{account})
		}
		found := p.cells(account, standing, senders)
		if i < 2 { // nobody, and some account
			p.cells(account, entries, senders)
		} else {
			p.cells(account, p.delicate(), senders)
		}
		p.pairs(account, found, names)
	}
	for account, own := range p.own() {
		p.cells(account, slices.Concat(p.probes(), own.recipients), slices.Concat(common, []mail.Address{account}, own.senders))
	}
}

// owners tries each alias as a sender of those whom it leads to.
func (p *prover) owners() {
	found := p.cells(p.some(), p.probes(), nil)
	for _, a := range p.w.Entries.Aliases {
		if a.CatchAll.IsZero() {
			for _, t := range a.Targets[:min(membersTried, len(a.Targets))] {
				p.pairs(t, found, []mail.Address{a.Address})
			}
		}
	}
}

// members tries each alias that not everybody may write to, as those whom it leads to.
func (p *prover) members() {
	common := p.senders()
	for _, a := range p.w.Entries.Aliases {
		if a.Posting == directory.PostingAnyone {
			continue
		}
		var group []recipient
		p.both(a.Address, a.Subject(), func(r recipient) { group = append(group, r) })
		for _, t := range a.Targets[:min(membersTried, len(a.Targets))] {
			p.cells(t, group, common)
		}
	}
}

// some is an account, or the address of none where there is no account.
func (p *prover) some() mail.Address {
	if len(p.w.Some) > 0 {
		return p.w.Some[0]
	}
	a, err := mail.NewAddress("nobody-of-this-name", p.w.Config.Hostname)
	if err != nil {
		return mail.Address{}
	}
	return a
}

type prover struct {
	w        World
	ours     map[mail.Domain]bool
	literals map[netip.Addr]bool
	contacts map[string]directory.Contact // of what is tried, by the account's Key
	report   Report
	judged   map[combination]bool
	states   map[bool][]gate.Facts // of a session, by whether nobody signed in
}

// combination is all that a decision and the judgement of it depend on, beside the state of
// the session. What was judged of one recipient and sender holds for all of it.
type combination struct {
	nobody bool
	sender sender
	class  class
}

// sender is all that a decision and the judgement of it ask of a sender.
type sender struct {
	ownership     gate.Ownership
	null, foreign bool
}

// foreign says in words of its own what is not ours: an address whose domain is
// neither listed nor the host name, and a literal that is not listed.
func (p *prover) foreign(a mail.Address) bool {
	if ip, literal := a.Literal(); literal {
		return !p.literals[ip]
	}
	return !p.ours[a.Domain()]
}

// class is a destination together with whether it is really foreign, and one
// recipient of it.
type class struct {
	destination gate.Destination
	foreign     bool
	contact     bool // the administrator named it for notices about the account
}

// found is a class with the first recipient of it.
type found struct {
	class
	recipient
	rule string // of the directory
}

// cells judges what one account, or nobody, could send to recipients as senders, and as the null
// sender. It returns the classes that it found.
func (p *prover) cells(account mail.Address, recipients []recipient, senders []mail.Address) []found {
	var all []found
	seen := map[class]bool{}
	for _, r := range recipients {
		if p.report.Witness != nil {
			return nil
		}
		p.report.Classes += (len(senders) + 1) * states
		classes := resolved(p.w.Classify(account, r.address))
		if !account.IsZero() { // nobody has no notices
			classes = append(classes, p.w.Notice(account, r.address))
		}
		for _, c := range classes {
			if w := p.misplaced(account, r, c); w != nil {
				p.report.Witness = w
				return nil
			}
			k := class{c.Destination, p.foreign(r.address), c.Destination == gate.DestinationContact && p.contact(account, r.address)}
			if !seen[k] {
				seen[k] = true
				all = append(all, found{k, r, c.Rule})
			}
		}
	}
	p.judge(account, all, mail.NullPath(), map[sender]bool{})
	p.pairs(account, all, senders)
	return all
}

// pairs judges what one account, or nobody, could send to recipients of classes as senders.
func (p *prover) pairs(account mail.Address, all []found, senders []mail.Address) {
	seen := map[sender]bool{}
	for _, a := range senders {
		p.report.Classes += len(all) * states
		p.judge(account, all, mail.PathOf(a), seen)
	}
}

// judge judges what one account, or nobody, could send to recipients of classes as one sender,
// unless one like it was judged with them.
func (p *prover) judge(account mail.Address, all []found, from mail.ReversePath, seen map[sender]bool) {
	if p.report.Witness != nil {
		return
	}
	a, named := from.Address()
	s := sender{p.w.Ownership(account, from), from.IsNull(), named && p.foreign(a)}
	if seen[s] {
		return
	}
	seen[s] = true
	for _, k := range all {
		if p.sessions(account, from, s, k); p.report.Witness != nil {
			return
		}
	}
}

// resolved returns what a class may become when the server behind us answers.
func resolved(c directory.Class) []directory.Class {
	if len(c.Ask) == 0 {
		return []directory.Class{c}
	}
	var all []directory.Class
	for _, answer := range []directory.Answer{directory.AnswerUnknown, directory.AnswerYes, directory.AnswerNo} {
		all = append(all, c.Resolve(func(directory.Mailbox) directory.Answer { return answer }))
	}
	return all
}

// misplaced finds a class that leads out by itself: mail for a foreign address that
// counts as ours, or a mailbox that is not.
func (p *prover) misplaced(account mail.Address, r recipient, c directory.Class) *Witness {
	w := &Witness{Account: account, Recipient: r.address, Class: c.Rule, Cause: r.cause, Sender: mail.NullPath(), Door: gate.DoorMX}
	if p.foreign(r.address) && (c.Destination == gate.DestinationMailbox || c.Destination == gate.DestinationPostmaster) {
		w.Why = "the address is not ours, but the directory takes it for ours"
		return w
	}
	for _, m := range c.Mailboxes {
		for _, a := range []mail.Address{m.Account, m.Behind} {
			if !a.IsZero() && p.foreign(a) {
				w.Why = "its mail would be delivered to " + a.String() + ", which is not ours"
				return w
			}
		}
	}
	return nil
}

// sessions judges one sender and one class of recipients in every state of a session.
func (p *prover) sessions(account mail.Address, from mail.ReversePath, of sender, k found) {
	c := combination{account.IsZero(), of, k.class}
	if p.judged[c] {
		return
	}
	p.judged[c] = true
	s := gate.Subject{Transaction: someID(), Account: account, Sender: from, Recipient: k.address}
	for _, f := range p.states[account.IsZero()] {
		f.Ownership, f.Destination = of.ownership, k.destination
		v := p.w.Decide(f, s)
		why := p.open(account, from, k.class, f, s, v)
		if why == "" {
			continue
		}
		p.report.Witness = &Witness{
			Door: f.Door, Peer: f.Peer, Auth: f.Auth, Standing: f.Standing, Account: account, Sender: from,
			Recipient: k.address, Rule: v.Rule, Class: k.rule, Cause: k.cause, Why: why,
		}
		return
	}
}

// contact says in words of its own where a notice about an account may go.
func (p *prover) contact(account, a mail.Address) bool {
	c, ok := p.contacts[account.Key()]
	return ok && !account.IsZero() && (a == c.Address || slices.ContainsFunc(c.Former, func(f directory.FormerContact) bool { return f.Address == a }))
}

// openNotice says why the relay of a notice opens the server: nobody signed in for it, so
// that all depends on where it goes and on what it says of itself.
func (p *prover) openNotice(account mail.Address, from mail.ReversePath, k class, s gate.Subject, v gate.Verdict) string {
	g, granted := v.Grant()
	switch {
	case !granted || !g.Covers(s.Transaction, s.Sender, s.Recipient) || g.Account() != account:
		return "a notice leaves without a grant that covers it"
	case !k.contact:
		return "a notice goes where no administrator sent it"
	case !from.IsNull():
		return "a notice leaves that could be answered"
	case !g.Answers().IsZero():
		return "a notice leaves as the mail of an account"
	}
	return ""
}

// open says why a verdict opens the server; "" for one that does not.
func (p *prover) open(account mail.Address, from mail.ReversePath, k class, f gate.Facts, s gate.Subject, v gate.Verdict) string {
	g, granted := v.Grant()
	sender, named := from.Address()
	if v.Action == gate.Relay && f.Door == gate.DoorNotice {
		return p.openNotice(account, from, k, s, v)
	}
	switch {
	case v.Action == gate.AcceptLocal && k.foreign:
		return "a recipient that is not ours is accepted as if it were"
	case v.Action != gate.Relay && granted:
		return "a grant is given without a relay"
	case v.Action != gate.Relay:
		return ""
	case !granted || !g.Covers(s.Transaction, s.Sender, s.Recipient) || g.Account() != account:
		return "mail leaves without a grant that covers it"
	case f.Door == gate.DoorMX || f.Door == gate.DoorUnknown:
		return "a door for strangers relays"
	case account.IsZero() || f.Auth == gate.AuthUnknown || f.Auth == gate.AuthNone && f.Door != gate.DoorForward && f.Door != gate.DoorReport:
		return "somebody who is not signed in relays"
	case f.Auth == gate.AuthNetworkAccount && f.Peer != gate.PeerProvenNetwork:
		return "a network that is not proven relays"
	case f.Standing != gate.StandingActive:
		return "an account that may not send relays"
	case named && p.foreign(sender):
		return "mail leaves in a foreign name"
	case named && f.Ownership != gate.OwnershipOwned:
		return "mail leaves in another's name"
	}
	return ""
}
