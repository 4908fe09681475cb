package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/budget"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

// Network is a network of devices that can't sign in, and what its account may send.
type Network struct {
	trust.Network
	Budget budget.Limits
}

func networkKeys() []entry[Network] {
	return []entry[Network]{
		list(Key{Path: "network.NAME.from", Type: TypeNetworks, Required: true, Example: "10.20.0.0/24",
			Doc: `The addresses of devices that can't sign in, as printers: ["10.20.0.0/24"]. A client from ` +
				`there that gives a sender of the account is taken for it on the submission door ` +
				`(listen.submission, listen.submissions), with or without TLS. Networks may not overlap. An ` +
				`address of this host, of a gateway, of a container network or of proxy.from never counts, ` +
				`nor any that a balancer names or that stands for one of IPv4 behind a translator (NAT64, 6to4, Teredo). The network counts while public clients are seen to arrive ` +
				`on port 25 as they are, and until strangers are seen behind one of its addresses; then the ` +
				`account is frozen until a person thaws it. [networks.md](guides/networks.md) tells how.`},
			parseTrusted, func(n *Network) *[]netip.Prefix { return &n.From }),
		parsed(Key{Path: "network.NAME.account", Type: TypeAddress, Required: true, Example: "printers@example.org",
			Doc: "The account that they send as, with its senders (delegates), limits and evidence, like any " +
				"other. Each network has one of its own, which should be nobody's."},
			parseMailbox, func(n *Network) *mail.Address { return &n.Account }),
		count("network.NAME.recipients_hour", "20", "1", mostRecipients,
			"Recipients that the account may write to in an hour, whatever else is set for it.",
			func(n *Network) *int { return &n.Budget.Hour }),
		count("network.NAME.recipients_day", "100", "1", mostRecipients, "And in a day.",
			func(n *Network) *int { return &n.Budget.Day }),
	}
}

// The largest networks that may be trusted.
const (
	trustedV4 = 16
	trustedV6 = 48
)

func parseTrusted(text string) (p netip.Prefix, message, hint string) {
	p, message, hint = parseNetwork(text)
	if message != "" {
		return p, message, hint
	}
	least, a := trustedV6, p.Addr()
	if a.Is4() {
		least = trustedV4
	}
	switch {
	case p.Bits() < least:
		return p, "this network is too large to hold devices of yours alone", fmt.Sprintf("name the networks of the devices, /%d at the widest", least)
	case a.IsLoopback(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast():
		return p, "addresses of this network never count, since they name no client", "programs of this host use the sendmail command (listen.sendmail)"
	case trust.Translated(p):
		return p, "addresses of this network stand for others that came through a translator, whoever they are",
			"devices that know IPv4 alone need an address of IPv4 here to hand in their mail at"
	}
	return p, "", ""
}

// networks reads the tables of trusted networks, in the order of the file.
func (s *source) networks(n *node, c *Config) {
	s.named(n, func(name string, t *node) {
		var v Network
		block(s, t, networkKeys(), &v)
		v.Name = name
		if !isWord(name) {
			s.fault(t.key, s.literal(t.key), "this is no name of 1 to 40 letters, digits and hyphens", "write ["+n.path+".printers]")
			return
		}
		if v.Budget.Day < v.Budget.Hour {
			s.faultAt(cmp.Or(t.child("recipients_day"), t.child("recipients_hour")),
				"this is less than what may be sent in an hour", "recipients_day is at least recipients_hour")
		}
		s.checkOurs(c, t.child("account"), v.Account)
		if slices.ContainsFunc(c.Networks, func(o Network) bool { return !v.Account.IsZero() && o.Account.Key() == v.Account.Key() }) {
			s.faultAt(t.child("account"), "another network signs in as this account already",
				"give each network an account of its own, so that one can be closed without the other")
		}
		if len(c.Listen.Submission)+len(c.Listen.Submissions) == 0 {
			s.fault(t.key, s.literal(t.key), "there is no door at which this network could hand in mail", "add listen.submission")
		}
		c.Networks = append(c.Networks, v)
	})
	var over *trust.OverlapError
	if _, err := trust.NewTable(c.TrustedNetworks()); errors.As(err, &over) {
		s.faultAt(n.child(over.Name, "from"), over.Error(), "an address belongs to one network")
	}
}

// TrustedNetworks returns the networks that sign in as accounts.
func (c Config) TrustedNetworks() []trust.Network {
	all := make([]trust.Network, len(c.Networks))
	for i, v := range c.Networks {
		all[i] = v.Network
	}
	return all
}
