package proof

import (
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// recipient is a representative, and what of the configuration it stands for.
type recipient struct {
	address mail.Address
	cause   directory.Subject
}

// operators are forms of a local-part by which servers have routed, run programs,
// opened files or expanded lists; FOREIGN stands for a domain that is not ours.
func operators() []string {
	return []string{
		"victim%FOREIGN", "FOREIGN!victim", "victim@FOREIGN", "@FOREIGN:victim", "victim:FOREIGN", "victim+FOREIGN", "+victim",
		"|/bin/sh", "/etc/passwd", "../../x", ":include:/etc/passwd", "${run{/bin/id}}", "-oQ/tmp", "*", "%25", "SRS0=AAAA=BB=FOREIGN=victim", "SRS1=AAAA=FOREIGN==BB=x=victim", "prvs=0123abcdef=victim%FOREIGN",
		"postmaster", "abuse", "mailer-daemon", "nobody-of-this-name", "POSTMASTER", "",
	}
}

// outside is a domain that no configuration has: names below invalid exist nowhere
// (RFC 6761 §6.4).
const outside = "outside.invalid"

// recipients are the representatives of every class of addresses.
func (p *prover) recipients() []recipient {
	var all []recipient
	seen := map[mail.Address]bool{}
	add := func(a mail.Address, cause directory.Subject) {
		if !a.IsZero() && !seen[a] {
			seen[a] = true
			all = append(all, recipient{a, cause})
		}
	}
	for _, d := range p.domains() {
		for _, local := range operators() {
			if a, err := mail.NewAddress(strings.ReplaceAll(local, "FOREIGN", outside), d.name); err == nil {
				add(a, d.cause)
			}
		}
	}
	p.named(add)
	for _, ip := range p.addresses() {
		for _, local := range []string{"postmaster", "victim"} {
			if a, err := mail.ParseAddress(local+"@"+mail.FormatLiteral(ip), mail.ASCII); err == nil {
				add(a, directory.Subject{})
			}
		}
	}
	return all
}

// delicate are the recipients that may be something else to one account than to another:
// aliases that not everybody may write to, and where the owners of accounts are told.
func (p *prover) delicate() (all []recipient) {
	add := func(r recipient) { all = append(all, r) }
	for i := range min(contactsTried, len(p.w.Config.Contacts)) {
		c := p.w.Config.Contacts[i]
		p.both(c.Address, c.Subject(), add)
	}
	groups := 0
	for _, a := range p.w.Config.Aliases {
		if a.Posting != directory.PostingAnyone && groups < groupsTried {
			groups++
			p.both(a.Address, a.Subject(), add)
		}
	}
	return all
}

// rights are the addresses that rights of one account name.
type rights struct {
	recipients []recipient
	senders    []mail.Address
}

// own are the rights of each account that has any.
func (p *prover) own() map[mail.Address]rights {
	all := map[mail.Address]rights{}
	add := func(account, a mail.Address, s directory.Subject) {
		of := all[account]
		p.both(a, s, func(r recipient) { of.recipients = append(of.recipients, r) })
		all[account] = of
	}
	for _, d := range p.w.Config.Delegates {
		add(d.Account, d.Address, d.Subject())
		of := all[d.Account]
		of.senders = append(of.senders, d.Address)
		all[d.Account] = of
	}
	for _, f := range p.w.Config.Forwards {
		add(f.Account, f.Account, f.Subject())
		for _, t := range f.Targets {
			add(f.Account, t, f.Subject())
		}
	}
	for _, c := range p.w.Config.Contacts {
		add(c.Account, c.Account, c.Subject())
		add(c.Account, c.Address, c.Subject())
		for _, f := range c.Former {
			add(c.Account, f.Address, c.Subject())
		}
	}
	return all
}

// both gives an address, and with a detail.
func (p *prover) both(a mail.Address, cause directory.Subject, add func(recipient)) {
	if a.IsZero() {
		return
	}
	add(recipient{a, cause})
	if p.w.Config.Detail == 0 {
		return
	}
	if detailed, err := a.WithLocal(a.Local() + string(rune(p.w.Config.Detail)) + "victim"); err == nil {
		add(recipient{detailed, cause})
	}
}

// domainAtom is one domain, and what of the configuration it stands for.
type domainAtom struct {
	name  mail.Domain
	cause directory.Subject
}

// domains are each domain that the configuration names, what resembles it, and one
// that it does not know.
func (p *prover) domains() []domainAtom {
	var all []domainAtom
	seen := map[mail.Domain]bool{}
	add := func(text string, cause directory.Subject) {
		d, err := mail.ParseDomain(text)
		if err == nil && !seen[d] {
			seen[d] = true
			all = append(all, domainAtom{d, cause})
		}
	}
	around := func(d mail.Domain, cause directory.Subject) {
		name := d.ASCII()
		_, parent, _ := strings.Cut(name, ".")
		for _, text := range []string{name, "sub." + name, "x" + name, "x-" + name, name + "." + outside, parent, strings.Replace(name, ".", "-", 1) + "." + outside} {
			add(text, cause)
		}
	}
	add(outside, directory.Subject{})
	around(p.w.Config.Hostname, directory.Subject{})
	for _, d := range p.w.Config.Domains {
		around(d.Name, directory.Subject{Kind: directory.KindDomain, Name: d.Name.String()})
	}
	for _, r := range p.w.Config.Routes {
		if !r.Domain.IsZero() {
			around(r.Domain, directory.Subject{Kind: directory.KindRoute, Name: r.Domain.String()})
		}
	}
	for _, f := range p.w.Config.Forwards {
		for _, t := range f.Targets {
			if !t.Domain().IsZero() {
				around(t.Domain(), directory.Subject{Kind: directory.KindForward, Name: f.Account.String()})
			}
		}
	}
	return all
}

// named adds every address that the configuration names, and each with a detail.
func (p *prover) named(add func(mail.Address, directory.Subject)) {
	both := func(a mail.Address, cause directory.Subject) {
		p.both(a, cause, func(r recipient) { add(r.address, r.cause) })
	}
	for i := range min(accountsTried, len(p.w.Accounts)) {
		both(p.w.Accounts[i], directory.Subject{Kind: directory.KindAccount, Name: p.w.Accounts[i].String()})
	}
	both(p.w.Config.Postmaster, directory.Subject{})
	for _, d := range p.w.Config.Domains {
		both(d.Postmaster, directory.Subject{Kind: directory.KindDomain, Name: d.Name.String()})
	}
	for _, a := range p.w.Config.Aliases {
		cause := directory.Subject{Kind: directory.KindAlias, Name: a.Name()}
		both(a.Address, cause)
		for _, t := range a.Targets {
			both(t, cause)
		}
	}
	for _, c := range p.w.Config.Contacts {
		cause := c.Subject()
		add(c.Account, cause)
		both(c.Address, cause)
		for _, f := range c.Former {
			both(f.Address, cause)
		}
	}
	for _, f := range p.w.Config.Forwards {
		cause := directory.Subject{Kind: directory.KindForward, Name: f.Account.String()}
		both(f.Account, cause)
		for _, t := range f.Targets {
			both(t, cause)
		}
	}
}

// addresses are one literal of each kind, and all of ours.
func (p *prover) addresses() []netip.Addr {
	all := slices.Clone(p.w.Config.Literals)
	for _, text := range []string{"127.0.0.1", "::1", "0.0.0.0", "::", "10.0.0.1", "192.168.0.1", "169.254.0.1", "224.0.0.1", "fe80::1", "fd00::1", "192.0.2.99", "2001:db8::99", "::ffff:127.0.0.1"} {
		if ip, err := netip.ParseAddr(text); err == nil {
			all = append(all, ip)
		}
	}
	return all
}

// senders are one of each kind that an account, or nobody, could claim.
func (p *prover) senders() (all []mail.Address) {
	add := func(a mail.Address, err error) {
		if err == nil && !a.IsZero() {
			all = append(all, a)
		}
	}
	add(mail.ParseAddress("stranger@"+outside, mail.ASCII))
	add(mail.NewAddress("postmaster", p.w.Config.Hostname))
	if len(p.w.Config.Domains) > 0 {
		add(mail.NewAddress("nobody-of-this-name", p.w.Config.Domains[0].Name))
	}
	for i := range min(3, len(p.w.Accounts)) {
		add(p.w.Accounts[i], nil)
	}
	for i := range min(aliasesTried, len(p.w.Config.Aliases)) {
		add(p.w.Config.Aliases[i].Address, nil)
	}
	return all
}

// sessions are all states that a session may be in: with an account, or without.
func sessions(nobody bool) []gate.Facts {
	auths, standings := []gate.Auth{gate.AuthUnknown, gate.AuthNone}, []gate.Standing{gate.StandingUnknown, gate.StandingNone}
	if !nobody {
		auths = append(auths, gate.AuthPassword, gate.AuthToken, gate.AuthCertificate, gate.AuthLocalUID, gate.AuthNetworkAccount)
		standings = append(standings, gate.StandingActive, gate.StandingFrozen, gate.StandingRevoked)
	}
	var all []gate.Facts
	for _, door := range []gate.Door{gate.DoorUnknown, gate.DoorMX, gate.DoorSubmission, gate.DoorSendmail, gate.DoorForward, gate.DoorNotification, gate.DoorReport, gate.DoorNotice} {
		for _, peer := range []gate.Peer{gate.PeerUnknown, gate.PeerStranger, gate.PeerProvenNetwork} {
			for _, auth := range auths {
				for _, standing := range standings {
					all = append(all, gate.Facts{Door: door, Peer: peer, Auth: auth, Standing: standing})
				}
			}
		}
	}
	return all
}

// someID is a queue id: a grant needs one, and no decision depends on which.
func someID() mail.ID {
	id, err := mail.ParseID(strings.Repeat("0", mail.IDLength-1) + "1")
	if err != nil {
		return mail.ID{}
	}
	return id
}
