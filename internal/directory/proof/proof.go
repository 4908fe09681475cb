package proof

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// World is what is to be proven. Of makes it of a real directory.
type World struct {
	// Config is the directory as it was written; it says what is ours.
	Config directory.Config
	// Accounts are accounts to act as; those that the configuration gives rights to
	// are added by themselves.
	Accounts []mail.Address

	Classify func(account, a mail.Address) directory.Class
	// Notice is the class to a notice about an account.
	Notice    func(account, a mail.Address) directory.Class
	Ownership func(account mail.Address, from mail.ReversePath) gate.Ownership
	Decide    func(gate.Facts, gate.Subject) gate.Verdict
}

// Of returns the world of a snapshot that was made of cfg and the accounts.
func Of(cfg directory.Config, s *directory.Snapshot, accounts []mail.Address) World {
	return World{Config: cfg, Accounts: accounts, Classify: s.ClassifyFor, Notice: s.ClassifyNotice, Ownership: s.Ownership, Decide: gate.Decide}
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

// What bounds a proof of a large directory. What is beyond it is of a class that was tried,
// since accounts without a right of their own are all alike, and so are groups to somebody
// who is no member.
const (
	accountsTried = 64 // accounts as recipients
	aliasesTried  = 16 // aliases as senders of accounts that have no right to them
	groupsTried   = 64 // groups that each account writes to
	contactsTried = 64 // contacts of others that a notice about each account goes to
)

// Prove tries everything, and stops at the first witness.
func Prove(w World) Report {
	p := prover{w: w, ours: map[mail.Domain]bool{w.Config.Hostname: true}, literals: map[netip.Addr]bool{}, judged: map[combination]bool{}}
	for _, d := range w.Config.Domains {
		p.ours[d.Name] = true
	}
	for _, ip := range w.Config.Literals {
		p.literals[ip.Unmap()] = true
	}
	recipients := p.recipients()
	p.report.Addresses = len(recipients)
	delicate := p.delicate()
	p.rights, p.common = p.own(), p.senders()
	for i, account := range p.actors() {
		var tried []recipient
		switch {
		case i < 2: // nobody, and some account
			tried = recipients
		default:
			// What an account is changes nothing about other addresses than these: of the
			// others one of each class does.
			tried = slices.Concat(p.classes, delicate, p.rights[account].recipients)
		}
		if p.account(account, tried, i == 0); p.report.Witness != nil {
			break
		}
	}
	return p.report
}

type prover struct {
	w        World
	ours     map[mail.Domain]bool
	literals map[netip.Addr]bool
	report   Report
	classes  []recipient // one of each class and rule, as nobody sees them
	judged   map[combination]bool
	rights   map[mail.Address]rights
	common   []mail.Address // senders that everybody tries
}

// combination is all that a decision and the judgement of it depend on, beside the state of
// the session. What was judged of one recipient and sender holds for all of it.
type combination struct {
	nobody    bool
	ownership gate.Ownership
	sender    senderKind
	class     class
}

// senderKind is what open asks of a sender.
type senderKind struct{ null, foreign bool }

// actors are nobody, some accounts, and every account with a right of its own.
func (p *prover) actors() []mail.Address {
	all, seen := []mail.Address{{}}, map[mail.Address]bool{{}: true}
	add := func(a mail.Address) {
		if !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	for i := range min(2, len(p.w.Accounts)) {
		add(p.w.Accounts[i])
	}
	for _, d := range p.w.Config.Delegates {
		add(d.Account)
	}
	for _, f := range p.w.Config.Forwards {
		add(f.Account)
	}
	for _, c := range p.w.Config.Contacts {
		add(c.Account)
	}
	return all
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

// account judges everything that one account, or nobody, could do. With note it keeps one
// recipient of each class and rule.
func (p *prover) account(account mail.Address, recipients []recipient, note bool) {
	var all []found
	type kind struct {
		class class
		rule  string
	}
	seen, noted, judged := map[class]bool{}, map[kind]bool{}, 0
	for _, r := range recipients {
		for _, c := range append(resolved(p.w.Classify(account, r.address)), p.w.Notice(account, r.address)) {
			if w := p.misplaced(account, r, c); w != nil {
				p.report.Witness = w
				return
			}
			k := class{c.Destination, p.foreign(r.address), c.Destination == gate.DestinationContact && p.contact(account, r.address)}
			if !seen[k] {
				seen[k] = true
				all = append(all, found{k, r, c.Rule})
			}
			if of := (kind{k, c.Rule}); note && !noted[of] {
				noted[of] = true
				p.classes = append(p.classes, r)
			}
			// A decision depends on the facts alone; what was judged for one recipient
			// of a class holds for all of it.
			judged++
		}
	}
	states := sessions(account.IsZero())
	senders := []mail.ReversePath{mail.NullPath()}
	for _, a := range slices.Concat(p.common, []mail.Address{account}, p.rights[account].senders) {
		if !a.IsZero() {
			senders = append(senders, mail.PathOf(a))
		}
	}
	p.report.Classes += judged * len(senders) * len(states)
	for _, from := range senders {
		ownership := p.w.Ownership(account, from)
		for _, k := range all {
			if p.sessions(account, from, ownership, states, k); p.report.Witness != nil {
				return
			}
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
func (p *prover) sessions(account mail.Address, from mail.ReversePath, ownership gate.Ownership, states []gate.Facts, k found) {
	sender, named := from.Address()
	c := combination{account.IsZero(), ownership, senderKind{from.IsNull(), named && p.foreign(sender)}, k.class}
	if p.judged[c] {
		return
	}
	p.judged[c] = true
	s := gate.Subject{Transaction: someID(), Account: account, Sender: from, Recipient: k.address}
	for _, f := range states {
		f.Ownership, f.Destination = ownership, k.destination
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
	return slices.ContainsFunc(p.w.Config.Contacts, func(c directory.Contact) bool {
		return !account.IsZero() && c.Account.Key() == account.Key() && (a == c.Address || slices.ContainsFunc(c.Former, func(f directory.FormerContact) bool { return f.Address == a }))
	})
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
