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

// collected gathers recipients, each once.
func (p *prover) collected(each func(add func(mail.Address, directory.Subject))) (all []recipient) {
	e := p.w.Entries
	seen := make(map[mail.Address]bool, 2*(len(e.Aliases)+len(e.Accounts)+len(e.Forwards)+len(e.Contacts)))
	each(func(a mail.Address, cause directory.Subject) {
		if !a.IsZero() && !seen[a] {
			seen[a] = true
			all = append(all, recipient{a, cause})
		}
	})
	return all
}

// standing are the recipients that are tried whatever entries there are: at a domain of nobody, at
// the host name, the routes, and literals.
func (p *prover) standing() []recipient {
	return p.collected(func(add func(mail.Address, directory.Subject)) {
		operated(add, domainAtom{name: parsed(outside)})
		for _, d := range around(p.w.Config.Hostname, directory.Subject{}) {
			operated(add, d)
		}
		for _, r := range p.w.Config.Routes {
			if !r.Domain.IsZero() {
				for _, d := range around(r.Domain, directory.Subject{Kind: directory.KindRoute, Name: r.Domain.String()}) {
					operated(add, d)
				}
			}
		}
		p.both(p.w.Config.Postmaster, directory.Subject{}, func(r recipient) { add(r.address, r.cause) })
		for _, r := range p.literally(p.addresses()) {
			add(r.address, r.cause)
		}
	})
}

// literally are recipients at address literals.
func (p *prover) literally(ips []netip.Addr) (all []recipient) {
	for _, ip := range ips {
		for _, local := range []string{"postmaster", "victim"} {
			if a, err := mail.ParseAddress(local+"@"+mail.FormatLiteral(ip), mail.ASCII); err == nil {
				all = append(all, recipient{address: a})
			}
		}
	}
	return all
}

// probes are recipients of which no entry changes what they are.
func (p *prover) probes() []recipient {
	all := p.literally([]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 99}), netip.IPv6Loopback()})
	if a, err := mail.NewAddress("victim", parsed(outside)); err == nil {
		all = append(all, recipient{address: a})
	}
	return slices.DeleteFunc(all, func(r recipient) bool {
		ip, _ := r.address.Literal()
		return p.literals[ip] || p.ours[r.address.Domain()]
	})
}

// entries are the recipients that the entries make: each domain with what resembles it, and each
// address that they name.
func (p *prover) entries() []recipient {
	return p.collected(func(add func(mail.Address, directory.Subject)) {
		for _, d := range p.w.Entries.Domains {
			for _, like := range around(d.Name, d.Subject()) {
				operated(add, like)
			}
		}
		for _, f := range p.w.Entries.Forwards {
			for _, t := range f.Targets {
				if !t.Domain().IsZero() {
					for _, like := range around(t.Domain(), f.Subject()) {
						operated(add, like)
					}
				}
			}
		}
		p.named(add)
	})
}

// delicate are the recipients that may be something else to one account than to another:
// aliases that not everybody may write to, and where the owners of accounts are told.
func (p *prover) delicate() (all []recipient) {
	add := func(r recipient) { all = append(all, r) }
	for _, c := range p.w.Entries.Contacts {
		p.both(c.Address, c.Subject(), add)
	}
	for _, a := range p.w.Entries.Aliases {
		if a.Posting != directory.PostingAnyone {
			p.both(a.Address, a.Subject(), add)
		}
	}
	return all
}

// names are the addresses that entries give to somebody, as senders.
func (p *prover) names() (all []mail.Address) {
	for _, a := range p.w.Entries.Aliases {
		if a.CatchAll.IsZero() {
			all = append(all, a.Address)
		}
	}
	return append(all, p.w.Entries.Accounts...)
}

// rights are the addresses that rights of one account name.
type rights struct {
	recipients []recipient
	senders    []mail.Address
}

// own are the rights of each account that has any.
func (p *prover) own() map[mail.Address]*rights {
	all := map[mail.Address]*rights{}
	of := func(account mail.Address) *rights {
		if all[account] == nil {
			all[account] = &rights{}
		}
		return all[account]
	}
	add := func(account, a mail.Address, s directory.Subject) {
		p.both(a, s, func(r recipient) { of(account).recipients = append(of(account).recipients, r) })
	}
	for _, d := range p.w.Entries.Delegates {
		add(d.Account, d.Address, d.Subject())
		of(d.Account).senders = append(of(d.Account).senders, d.Address)
	}
	for _, f := range p.w.Entries.Forwards {
		add(f.Account, f.Account, f.Subject())
		for _, t := range f.Targets {
			add(f.Account, t, f.Subject())
		}
	}
	for _, c := range p.w.Entries.Contacts {
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

// around are a domain and what resembles it.
func around(d mail.Domain, cause directory.Subject) (all []domainAtom) {
	name := d.ASCII()
	_, parent, _ := strings.Cut(name, ".")
	for _, text := range []string{name, "sub." + name, "x" + name, "x-" + name, name + "." + outside, parent, strings.Replace(name, ".", "-", 1) + "." + outside} {
		if like := parsed(text); !like.IsZero() {
			all = append(all, domainAtom{like, cause})
		}
	}
	return all
}

// parsed is a domain, or none where the text is no domain.
func parsed(text string) mail.Domain {
	d, err := mail.ParseDomain(text)
	if err != nil {
		return mail.Domain{}
	}
	return d
}

// operated adds every operator at a domain.
func operated(add func(mail.Address, directory.Subject), d domainAtom) {
	for _, local := range operators() {
		if a, err := mail.NewAddress(strings.ReplaceAll(local, "FOREIGN", outside), d.name); err == nil {
			add(a, d.cause)
		}
	}
}

// named adds every address that the entries name, and each with a detail.
func (p *prover) named(add func(mail.Address, directory.Subject)) {
	both := func(a mail.Address, cause directory.Subject) {
		p.both(a, cause, func(r recipient) { add(r.address, r.cause) })
	}
	for _, a := range p.w.Entries.Accounts {
		both(a, directory.Subject{Kind: directory.KindAccount, Name: a.String()})
	}
	for _, d := range p.w.Entries.Domains {
		both(d.Postmaster, d.Subject())
	}
	for _, a := range p.w.Entries.Aliases {
		both(a.Address, a.Subject())
		for _, t := range a.Targets {
			both(t, a.Subject())
		}
	}
	for _, c := range p.w.Entries.Contacts {
		add(c.Account, c.Subject())
		both(c.Address, c.Subject())
		for _, f := range c.Former {
			both(f.Address, c.Subject())
		}
	}
	for _, f := range p.w.Entries.Forwards {
		both(f.Account, f.Subject())
		for _, t := range f.Targets {
			both(t, f.Subject())
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
	add(mail.NewAddress("stranger", parsed(outside)))
	add(mail.NewAddress("postmaster", p.w.Config.Hostname))
	for _, a := range p.w.Some {
		add(a, nil)
	}
	return all
}

// states is about how many states of a session sessions returns, for what a Report counts.
const states = 672

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
